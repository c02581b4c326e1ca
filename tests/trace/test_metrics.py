# SPDX-License-Identifier: Apache-2.0

"""``/metrics``: what Prometheus is told, what a tenant is, and what it costs."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from webob import Request

from tenantry.controller.api.tenantry import counting
from tenantry.controller.api.tenantry.traffic import NETWORKS, OFF, PORTS, Traffic
from tenantry.controller.feature.context import Context
from tenantry.controller.openflow.pipeline import Table
from tests.api.conftest import caller
from tests.conftest import need
from tests.lab import Lab, lab
from tests.openvswitch import OpenVSwitch
from tests.qos_policies import give, limits, policy

BROADCAST = "ff:ff:ff:ff:ff:ff"
Scrape = Callable[..., dict[str, dict[tuple[str, ...], float]]]


@pytest.fixture
def net(dummy_ovs: OpenVSwitch, tmp_path: Path) -> Iterator[Lab]:
    with lab(dummy_ovs, tmp_path, metrics__kept="0") as running:
        yield running


def scraped(text: str) -> dict[str, dict[tuple[str, ...], float]]:
    """By name, and by the values of the labels, as they are sorted by name."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = tuple(value for _, value in sorted(sample.labels.items()))
            assert labels not in found.setdefault(sample.name, {})
            found[sample.name][labels] = sample.value
    return found


@pytest.fixture
def scrape(net: Lab, monkeypatch: pytest.MonkeyPatch) -> Scrape:
    application = net.controller.application

    def scrape(who: Context | None = None) -> Any:
        context = who or caller("operators", "admin")
        door = lambda request: net.controller.kinds.policy.recognised(context)  # noqa: E731
        with monkeypatch.context() as patch:
            patch.setattr(application, "_authenticate", door)
            answer = Request.blank("/metrics").get_response(application)
        assert answer.status_int == 200
        assert answer.content_type == "text/plain"
        return scraped(answer.text)

    return scrape


def plugged(net: Lab, number: int, network: Any, **attributes: Any) -> str:
    port = net.port(network, mac_address=f"fa:16:3e:00:00:{number:02x}", **attributes)
    net.attach(port)
    net.settle()
    return str(port["id"])


def send(
    net: Lab,
    number: int,
    packets: int,
    destination: str = BROADCAST,
    source: str = "",
    octets: int = 60,
) -> None:
    """From the port of that number, so many frames."""
    source = source or f"fa:16:3e:00:00:{number:02x}"
    frame = f"in_port({number}),eth(src={source},dst={destination}),eth_type(0x88b5)"
    for _ in range(packets):
        net.ovs.appctl("netdev-dummy/receive", f"if{number}", frame, "--len", str(octets))
    net.ovs.appctl("revalidator/purge")  # it adds up what its datapath has counted


def test_what_ports_and_networks_carry(net: Lab, scrape: Scrape) -> None:
    """Since the first reading: what was before is nobody's, what goes is not taken back."""
    network = net.network("10.0.0.0/24", name="net")
    one = plugged(net, 1, network, name='with "quotes"')
    send(net, 1, 5)
    assert scrape()["tenantry_port_packets_total"][egress := ("egress", one)] == 0
    two = plugged(net, 2, network)
    send(net, 1, 3)
    found = scrape()
    ports = found["tenantry_port_packets_total"]
    # Open vSwitch does not send a broadcast back, but counts it where it would leave.
    assert (ports[egress], ports["ingress", one], ports["ingress", two]) == (3, 3, 3)
    assert found["tenantry_port_octets_total"][egress] == 180
    networks = found["tenantry_network_octets_total"]
    assert networks == {("egress", network["id"]): 180, ("ingress", network["id"]): 360}
    assert found["tenantry_port_info"][('with "quotes"', network["id"], one, "demo")] == 1
    assert found["tenantry_network_info"][("net", network["id"], "demo")] == 1
    net.delete("port", one)
    net.settle()
    found = scrape()
    assert {id for _, id in found["tenantry_port_packets_total"]} == {two}
    assert found["tenantry_network_octets_total"] == networks
    net.delete("port", two)
    net.delete("network", network["id"])
    net.settle()
    assert "tenantry_network_octets_total" not in scrape()


def test_a_switch_that_starts_again_begins_anew(net: Lab, scrape: Scrape) -> None:
    """Its counts do; ours go on."""
    network = net.network("10.0.0.0/24")
    one = plugged(net, 1, network)
    scrape()
    send(net, 1, 3)
    assert scrape()["tenantry_port_packets_total"]["egress", one] == 3
    net.ovs.ofctl("del-flows", "br-int")
    net.until(lambda: "n_packets" in net.ovs.ofctl("dump-flows", "br-int", "table=95"))
    net.settle()
    send(net, 1, 2)
    assert scrape()["tenantry_port_packets_total"]["egress", one] == 5


STRANGER = "52:54:00:00:00:99"
SPOOFED, LOST = "not_its_address", "unknown_destination"
PORT_DROPS, NETWORK_DROPS, SWITCH_DROPS = (
    f"tenantry_{kind}_drops_packets_total" for kind in ("port", "network", "switch")
)


def test_what_is_dropped_of_whom_and_why(net: Lab, scrape: Scrape) -> None:
    """Since the first reading, with the packet that an account was learned of; by port and network
    whose it is, and by switch whosever it is."""
    networks = [net.network("10.0.0.0/24") for _ in range(2)]
    one, two = (plugged(net, number, on) for number, on in enumerate(networks, start=1))
    send(net, 1, 5, source=STRANGER)
    found = scrape()
    (switch,) = (id for (id,) in found["tenantry_switch_flows"])
    assert found[PORT_DROPS] == {(SPOOFED, one): 0}
    assert found[SWITCH_DROPS] == {(SPOOFED, switch): 0, ("unforeseen", switch): 0}
    send(net, 1, 3, source=STRANGER)
    send(net, 1, 1, source=STRANGER, destination="01:80:c2:00:00:00")  # on no logical port yet
    send(net, 2, 2, source=STRANGER)
    send(net, 2, 4, destination=STRANGER)
    net.ovs.vsctl("add-port", "br-int", nobodys := "nobodys")
    net.ovs.appctl("netdev-dummy/receive", nobodys, f"eth(src={STRANGER}),eth_type(0x88b5)")
    net.ovs.appctl("revalidator/purge")
    found = scrape()
    assert found[PORT_DROPS] == {
        (SPOOFED, one): 3,
        ("bridge_protocol", one): 1,
        (SPOOFED, two): 2,
        (LOST, two): 4,
    }
    on = {one: networks[0]["id"], two: networks[1]["id"]}
    assert found[NETWORK_DROPS] == {
        (cause, on[port]): packets for (cause, port), packets in found[PORT_DROPS].items()
    }
    of_switch = found[SWITCH_DROPS]
    assert of_switch == {
        (SPOOFED, switch): 5,
        (LOST, switch): 4,
        ("bridge_protocol", switch): 1,
        ("switched_off", switch): 1,
        ("unforeseen", switch): 0,
    }
    net.delete("port", one)
    net.delete("network", on[one])
    net.settle()
    found = scrape()
    assert {id for _, id in found[PORT_DROPS]} == {two}
    assert {id for _, id in found[NETWORK_DROPS]} == {on[two]}
    assert found[SWITCH_DROPS] == of_switch, "nothing is taken back"


def test_what_meters_drop_has_its_cause(net: Lab, scrape: Scrape) -> None:
    """As the counters of the port have it."""
    network = net.network("10.0.0.0/24")
    one, _ = (plugged(net, number, network, port_security_enabled=False) for number in (1, 2))
    give(net, "port", {"id": one}, policy(net, bandwidth_limit=limits(1)))
    assert PORT_DROPS not in scrape()
    send(net, 1, 20, octets=1400)  # of which two pass, whose copies may take what it may get
    send(net, 2, 20, "fa:16:3e:00:00:01", octets=1400)
    found = scrape()
    drops = net.api("GET", f"/tenantry/v1/ports/{one}/counters")["drops"]
    told = {(drop["cause"], one): drop["packets"] for drop in drops}
    assert found[PORT_DROPS].items() >= told.items()
    assert told.keys() == {("too_much_sent", one), ("too_much_received", one)}
    assert all(10 < packets <= 20 for packets in told.values()), told
    of_switch = {cause: packets for (cause, _), packets in found[SWITCH_DROPS].items()}
    assert {(cause, one): of_switch[cause] for cause, _ in told} == told


def test_drops_only_grow(net: Lab, scrape: Scrape, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over a switch that forgets them, or that does not answer."""
    one = plugged(net, 1, net.network("10.0.0.0/24"))
    scrape()
    send(net, 1, 3, source=STRANGER)
    assert scrape()[PORT_DROPS] == {(SPOOFED, one): 3}
    net.ovs.ofctl("del-flows", "br-int", f"table={Table.DROPPED.id}")
    assert scrape()[PORT_DROPS] == {(SPOOFED, one): 3}
    send(net, 1, 5, source=STRANGER)
    assert scrape()[PORT_DROPS] == {(SPOOFED, one): 8}, (
        "more than there were is no sign of old ones"
    )
    with monkeypatch.context() as patch:
        patch.setattr(net.controller.progress, "connections", {})
        assert scrape()[PORT_DROPS] == {(SPOOFED, one): 8}
    send(net, 1, 2, source=STRANGER)
    assert scrape()[PORT_DROPS] == {(SPOOFED, one): 10}


def test_readings_are_kept_for_a_while(net: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    one = plugged(net, 1, net.network("10.0.0.0/24"))
    running = net.controller.running
    kept, fresh = (Traffic(running, PORTS, 10, seconds) for seconds in (3600, 0))
    for traffic in (kept, fresh):
        traffic.carried()
    send(net, 1, 3)
    sums = [traffic.carried().ports[one, "egress"] for traffic in (kept, fresh)]
    assert sums == [(0, 0), (3, 180)]


def test_a_reading_that_was_told_stays_as_it_was(net: Lab) -> None:
    """Somebody may be writing it down while the next is made."""
    network = net.network("10.0.0.0/24")
    plugged(net, 1, network)
    traffic = Traffic(net.controller.running, PORTS, 10, 0)
    told = traffic.carried()
    kept = deepcopy(told)
    plugged(net, 2, network)
    send(net, 1, 3, source=STRANGER)
    assert traffic.carried() != kept
    assert told == kept


def test_no_more_ports_than_are_wanted(net: Lab, caplog: pytest.LogCaptureFixture) -> None:
    network = net.network("10.0.0.0/24")
    ids = [plugged(net, number, network) for number in (1, 2, 3)]
    running = net.controller.running
    for level, most, shown in ((PORTS, 2, 2), (PORTS, 3, 3), (NETWORKS, 9, 0), (OFF, 9, 0)):
        carried = Traffic(running, level, most, 0).carried()
        assert {id for id, _ in carried.ports} == set(sorted(ids)[:shown])
        assert bool(carried.networks) is (level != OFF)
        assert carried.left_out == (0 if level == OFF else 3 - shown)
    send(net, 1, 1, source=STRANGER)
    send(net, 2, 1, source=STRANGER)
    for level, most, kinds in (
        (PORTS, 9, {"port", "network", "switch"}),
        (PORTS, 0, {"network", "switch"}),
        (NETWORKS, 9, {"network", "switch"}),
        (OFF, 9, set()),
    ):
        drops = Traffic(running, level, most, 0).carried().drops
        assert {kind for kind, sums in drops.items() if sums} == kinds
    words = [message for message in caplog.messages if message.startswith("/metrics")]
    assert words == [
        "/metrics has counters of 2 ports of 3: [metrics] most_ports",
        "/metrics has counters of 0 ports of 3: [metrics] most_ports",
    ]


def test_a_tenant_is_told_of_their_own(net: Lab, scrape: Scrape) -> None:
    ids = {}
    for number, project in enumerate(("red", "blue"), start=1):
        network = net.network("10.0.0.0/24", project=project)
        ids[project] = plugged(net, number, network, project_id=project)
    shared = net.network("10.0.1.0/24", project="blue", shared=True)
    on_shared = plugged(net, 3, shared, project_id="red")
    plugged(net, 4, shared, project_id="blue")
    for number in range(1, 5):
        send(net, number, 1, source=STRANGER)
    red = scrape(caller("red", "reader"))
    assert red.keys() == {
        *("tenantry_network_packets_total", "tenantry_network_octets_total"),
        *("tenantry_port_packets_total", "tenantry_port_octets_total"),
        *(NETWORK_DROPS, PORT_DROPS),
        *("tenantry_network_info", "tenantry_port_info"),
    }
    for name in ("tenantry_port_packets_total", PORT_DROPS):
        assert {id for _, id in red[name]} == {ids["red"], on_shared}
    for name in ("tenantry_network_packets_total", NETWORK_DROPS):
        assert len({id for _, id in red[name]}) == 1, "not what others do on the shared one"
    assert {labels[-1] for labels in red["tenantry_port_info"]} == {"red"}
    assert len(blue := scrape(caller("blue", "reader"))[NETWORK_DROPS]) == 2
    assert (SPOOFED, shared["id"]) in blue
    all = scrape()
    for name in ("tenantry_port_packets_total", PORT_DROPS):
        assert len({id for _, id in all[name]}) == 4


def test_how_long_things_take(net: Lab, scrape: Scrape) -> None:
    """By histograms; routes are those that there are, whatever is asked for."""
    network = net.network("10.0.0.0/24")
    plugged(net, 1, network)
    application = net.controller.application
    for path, method in (("/v2.0/networks/x", "GET"), ("/no/such", "GET"), ("/v2.0/ports", "BREW")):
        Request.blank(path, method=method).get_response(application)
    found = scrape()
    answers = found["tenantry_api_answers_total"]
    assert answers["GET", "/v2.0/networks/{id}", "404"] == 1
    assert answers["GET", "", "404"] == 1
    assert answers["other", "/v2.0/ports", "405"] == 1
    assert answers["POST", "/v2.0/networks", "201"] == 1
    assert found["tenantry_api_request_seconds_count"]["POST", "/v2.0/networks"] == 1
    for name in ("pass", "push", "realised"):
        assert found[f"tenantry_{name}_seconds_count"][()] > 0
        assert found[f"tenantry_{name}_seconds_sum"][()] < 60
    revision = net.controller.store.head
    assert found["tenantry_realised_seconds_count"][()] == revision
    assert found["tenantry_revision"][()] == found["tenantry_realised_revision"][()] == revision
    assert found["tenantry_ports"] == {("ACTIVE",): 1}


def test_what_is_read_to_tell_it(net: Lab, scrape: Scrape, monkeypatch: pytest.MonkeyPatch) -> None:
    """No table as a whole; and once, though it is told by switch, by network and by port."""
    plugged(net, 1, net.network("10.0.0.0/24"))
    ask, asked = counting.told, []
    monkeypatch.setattr(counting, "told", lambda *args: asked.append(args) or ask(*args))
    (connection,) = net.controller.progress.connections.values()
    monkeypatch.setattr(connection, "dump_flows", lambda *tables: pytest.fail("a dump"))
    assert scrape()["tenantry_port_packets_total"]
    assert len(asked) == 2, "what passed, and what was dropped"


def test_it_is_as_prometheus_has_it(net: Lab) -> None:
    need(shutil.which("promtool") is not None, "promtool (Debian: prometheus)")
    plugged(net, 1, net.network("10.0.0.0/24"))
    text = Request.blank("/metrics").get_response(net.controller.application).body
    check = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True)
    assert (check.returncode, check.stderr.decode()) == (0, "")
