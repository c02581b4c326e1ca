# SPDX-License-Identifier: Apache-2.0

"""Gateways that stand in for each other, with real packets: one dies, or is cut off, with the
controller alive and with it dead."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tenantry.controller.model import Interface, View
from tenantry.controller.network.failover import NOT_THE_GATEWAY
from tenantry.controller.network.routers import active, gateways
from tests.echo import asked, serving
from tests.farm import Beyond, Farm, Machine, farm, machines
from tests.namespace import Guest, run
from tests.netns.test_metering import label
from tests.outside import SERVER, SERVER6
from tests.pacer import Pacer, reflecting


@pytest.fixture
def started(own_netns: None) -> Iterator[list[Machine]]:
    with machines(4, uplinks=2) as ready:
        yield ready


class Stage(NamedTuple):
    net: Farm
    router: Any
    inside: Guest  # on a machine without an uplink
    port: Any
    beyond: Beyond

    def machine(self, dpid: int | None) -> Machine:
        return next(m for m in self.net.machines if self.net._dpid(m) == dpid)

    @property
    def active(self) -> Machine:
        return self.machine(active(View(self.net.controller.model), self.router["id"]))


def stage(net: Farm, *next_hops: str) -> Stage:
    """A router with two gateways, and a guest behind it on another machine. ``next_hops``: those
    of the external subnets, if not their first addresses, which then nobody has."""
    beyond = Beyond(net)
    for address in next_hops:
        version = 6 if ":" in address else 4
        for subnet in net.subnets(beyond.network):
            if subnet["ip_version"] == version:
                net.update("subnet", subnet["id"], gateway_ip=address)
        length = 64 if version == 6 else 32
        beyond.router.run("ip", "address", "add", f"{address}/{length}", "dev", "eth0")
    network = net.network("10.0.0.0/24", "fd00:a::/64")
    port, other = net.port(network), net.port(network)
    router = net.router(network, outside=beyond.network)
    inside = net.plug(net.machines[2], port)
    net.plug(net.machines[3], other)
    beyond.router.run("ip", "route", "add", "fd00:a::/64", "via", address6(router))
    net.until(lambda: len(gateways(View(net.controller.model), router["id"])) == 2)
    net.until(lambda: net.controller.holddown.settled())
    net.settle()
    return Stage(net, router, inside, port, beyond)


def test_gateways_that_are_not_in_their_subnets(started: list[Machine], tmp_path: Path) -> None:
    """fe80::1, and an address of another prefix on the same wire: providers have both."""
    with farm(tmp_path, started) as net:
        on = stage(net, "192.0.2.1", "fe80::1")
        for server in (SERVER, SERVER6):
            assert on.inside.pings(server, count=3), net.dump()
        (six,) = (ip["ip_address"] for ip in on.port["fixed_ips"] if ":" in ip["ip_address"])
        assert on.beyond.server.pings(six, count=3)
        floating = net.floating_ip(on.beyond.network, on.port)
        net.take_effect()
        assert on.beyond.server.pings(floating["floating_ip_address"], count=3)
        net.verify()


def address6(router: Any) -> str:
    fixed = router["external_gateway_info"]["external_fixed_ips"]
    return next(ip["ip_address"] for ip in fixed if ":" in ip["ip_address"])


def test_both_families_leave_by_the_first_gateway(started: list[Machine], tmp_path: Path) -> None:
    with farm(tmp_path, started) as net:
        on = stage(net)
        for server in (SERVER, SERVER6):
            assert on.inside.pings(server, count=3), net.dump()
        # What the wire brings to the other one ends there, and says why.
        told = {m.name: m.appctl("ofproto/trace", "br-int", from_wire(m, on)) for m in started[:2]}
        why = f"set_field:{NOT_THE_GATEWAY.value:#x}->"
        assert {name for name, text in told.items() if why in text} == {*told} - {on.active.name}
        groups = {m.name: m.ofctl("dump-groups", "br-int") for m in started}
        assert all("type=ff" in groups[m.name] for m in started[:3])
        for machine in started[:2]:
            machine.ofctl("del-groups", "br-int")  # with them go the flows that use them
        dumps = {m.name: m for m in started}
        net.until(lambda: all(_same(dumps[n], groups[n]) for n in groups))
        net.verify()


def from_wire(machine: Machine, on: Stage) -> str:
    """A packet of the outside for the router, as it comes to a machine."""
    query = f"/v2.0/ports?device_id={on.router['id']}&network_id={on.beyond.network['id']}"
    (port,) = on.net.api("GET", query)["ports"]
    view, switch = View(on.net.controller.model), on.net._dpid(machine)
    (wire,) = view.find(Interface, switch=switch, physical_network="uplink")
    return f"in_port={wire.ofport},udp,dl_dst={port['mac_address']},nw_ttl=64,nw_dst={SERVER}"


def _same(machine: Machine, groups: str) -> bool:
    """Whether a machine has these groups, in any order."""
    lines = machine.ofctl("dump-groups", "br-int").splitlines()
    return sorted(lines[1:]) == sorted(groups.splitlines()[1:])


@pytest.mark.parametrize("alive", [True, False], ids=["controller", "alone"])
@pytest.mark.parametrize("death", [Machine.crash, Machine.cut], ids=["crash", "cut"])
def test_another_takes_over(
    started: list[Machine],
    tmp_path: Path,
    death: Callable[[Machine], None],
    alive: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "tenantry.controller.service.journal")
    with farm(tmp_path, started) as net:
        on = stage(net)
        assert on.inside.pings(SERVER, count=3)
        first = on.active
        if not alive:
            net.stop_controller()
        with reflecting(on.beyond.server):
            pacer = Pacer(on.inside, SERVER)
            assert on.inside.pings(SERVER, count=3)
            death(first)
            answered = pacer.result()
        print(f"{first.name} {len(answered.lost)} lost, gap {answered.gap:.3f} s")
        assert answered.lost, "nothing was lost: it did not go by the one that died"
        if alive:
            net.until(lambda: f"moves from br-int on {first.name} to br-int on" in caplog.text)


def test_floating_ips_move_along_and_do_not_come_back_at_once(
    started: list[Machine], tmp_path: Path
) -> None:
    """From outside to a floating IP, whose port is on a machine that does not reach outside. One
    that comes back rests first, and then takes over again, with all of its flows."""
    with farm(tmp_path, started) as net:
        on = stage(net)
        floating = net.floating_ip(on.beyond.network, on.port)["floating_ip_address"]
        first = on.active
        network = net.api("GET", f"/v2.0/networks/{on.port['network_id']}")["network"]
        beside, others = (net.plug(m, net.port(network)) for m in (first, started[3]))
        net.settle()
        assert on.beyond.server.pings(floating, count=3), net.dump()
        with reflecting(on.inside):
            pacer = Pacer(on.beyond.server, floating)
            assert on.beyond.server.pings(floating, count=3)
            first.crash()
            net.until(lambda: on.active is not first)
            answered = pacer.result()
            print(f"floating: {len(answered.lost)} lost, gap {answered.gap:.3f} s")
            assert answered.lost, "it did not go by the one that died"
            (other,) = {m for m in started[:2] if m is not first}
            assert on.active is other
            assert seen_at(on) == {other.name: "active", first.name: "standby"}

            with reflecting(on.beyond.server):
                ways = ((on.beyond.server, floating), (others, SERVER))
                pacers = [Pacer(g, to, per_second=200) for g, to in ways]
                first.restart()
                dpid = net._dpid(first)
                net.until(lambda: dpid in net.controller.progress.reconcilers)
                assert on.active is other, "it rests"
                # Its own ports go by the other one, too, lest the outside takes it for active.
                assert beside.pings(SERVER, count=25)
                net.until(lambda: on.active is first)
                net.settle()
                results = [pacer.result() for pacer in pacers]
        for answered in results:
            print(f"back: {len(answered.lost)} lost of {answered.asked}, gap {answered.gap:.3f} s")
        assert seen_at(on) == {first.name: "active", other.name: "standby"}
        net.verify()


def seen_at(on: Stage) -> dict[str, str]:
    """The router's gateways, as the API shows them."""
    agents = on.net.api("GET", f"/v2.0/routers/{on.router['id']}/l3-agents")["agents"]
    return {agent["host"]: agent["ha_state"] for agent in agents}


def test_gateways_with_addresses_of_their_own(started: list[Machine], tmp_path: Path) -> None:
    """With as many addresses as gateways, each translates what its own ports send to one of them:
    whoever dies takes nobody else along."""
    with farm(tmp_path, started) as net:
        beyond = Beyond(net)
        network = net.network("10.0.0.0/24")
        addresses = ["203.0.113.50", "203.0.113.51"]
        gateway = {"external_fixed_ips": [{"ip_address": address} for address in addresses]}
        router = net.router(network, outside=beyond.network, gateway=gateway)
        ports = [net.port(network) for _ in range(3)]
        guests = [net.plug(m, p) for m, p in zip(started[:3], ports, strict=True)]
        on = Stage(net, router, guests[2], ports[2], beyond)
        net.until(lambda: len(gateways(View(net.controller.model), router["id"])) == 2)
        net.until(net.controller.holddown.settled)
        net.settle()
        first = on.active
        (other,) = {m for m in started[:2] if m is not first}
        floating = net.floating_ip(beyond.network)
        forwarded(net, floating, ports[other.number - 1])
        net.settle()
        at = {first.number: addresses[0], other.number: addresses[1], 3: addresses[0]}
        with serving(beyond.server):
            for number, guest in enumerate(guests, 1):
                assert guest.pings(SERVER, count=3), net.dump()
                assert asked(guest, SERVER) == [at[number]] * 2
        with serving(guests[other.number - 1]):
            seen = asked(beyond.server, floating["floating_ip_address"], port=2222)
            assert seen[0] == SERVER, "what is forwarded goes back the way it came"
        with reflecting(beyond.server):
            unhurt = Pacer(guests[other.number - 1], SERVER, per_second=200)
            others = Pacer(guests[2], SERVER, per_second=200)
            first.crash()
            net.until(lambda: on.active is not first)
            assert unhurt.result().lost == []
            assert others.result().lost
        with serving(beyond.server):
            assert asked(guests[2], SERVER) == [addresses[0]] * 2, "the router's own goes along"


def forwarded(net: Farm, floating: Any, port: Any) -> None:
    """TCP port 2222 of a floating IP leads to 7777 of a port."""
    to = {"internal_port_id": port["id"], "internal_port": 7777, "external_port": 2222}
    to |= {"internal_ip_address": port["fixed_ips"][0]["ip_address"], "protocol": "tcp"}
    path = f"/v2.0/floatingips/{floating['id']}/port_forwardings"
    net.api("POST", path, {"port_forwarding": to})


def assign(net: Farm, machine: Machine, router: Any, method: str = "POST") -> None:
    """Put a router on a machine, or take it off there."""
    agents = net.api("GET", f"/v2.0/agents?agent_type=L3%20agent&host={machine.name}")["agents"]
    url = f"/v2.0/agents/{agents[0]['id']}/l3-routers"
    if method == "POST":
        net.api("POST", url, {"router_id": router["id"]})
    else:
        net.api(method, f"{url}/{router['id']}")


def test_a_router_moves_where_somebody_puts_it(started: list[Machine], tmp_path: Path) -> None:
    """Under traffic, with all that goes by its gateway: a shared address, a floating IP of a port
    elsewhere, IPv6. By the counters of the machines' uplinks, not by what the API says."""
    with farm(tmp_path, started) as net:
        on = stage(net)
        public = net.floating_ip(on.beyond.network, on.port)["floating_ip_address"]
        net.take_effect()
        first = on.active
        (other,) = {m for m in started[:2] if m is not first}
        assert carried_by(first, on, on.inside, public)
        with reflecting(on.beyond.server):
            pacer = Pacer(on.inside, SERVER, per_second=200)
            assign(net, other, on.router)
            net.until(lambda: on.active is other)
            net.take_effect()
            assert carried_by(other, on, on.inside, public)
            answered = pacer.result()
        print(f"moved: {len(answered.lost)} lost of {answered.asked}, gap {answered.gap:.3f} s")
        assert seen_at(on) == {other.name: "active", first.name: "standby"}
        assign(net, other, on.router, "DELETE")
        net.until(lambda: on.active is first)
        net.take_effect()
        assert seen_at(on) == {first.name: "active"}
        assert carried_by(first, on, on.inside, public)
        net.verify()
        # It is kept with the router: another controller finds it there.
        net.stop_controller()
        net.start_controller()
        net.until(lambda: on.active is first)
        assert seen_at(on) == {first.name: "active"}
        net.verify()


def test_what_leaves_a_centralised_router_leaves_by_the_active_gateway(
    started: list[Machine], tmp_path: Path
) -> None:
    """Translated one to one, or not at all, and starting on the gateway that stands by."""
    with farm(tmp_path, started) as net:
        on = stage(net)
        for change in ({"admin_state_up": False}, {"distributed": False}, {"admin_state_up": True}):
            net.update("router", on.router["id"], **change)
        network = net.api("GET", f"/v2.0/networks/{on.port['network_id']}")["network"]
        (other,) = {m for m in started[:2] if m is not on.active}
        for machine in (other, on.active):
            port = net.port(network)
            guest = net.plug(machine, port)
            public = net.floating_ip(on.beyond.network, port)["floating_ip_address"]
            net.take_effect()
            assert carried_by(on.active, on, guest, public)
        net.verify()


def carried_by(machine: Machine, on: Stage, guest: Guest, public: str) -> bool:
    """Whether it is this machine that a guest's pings leave by, and those to its floating IP."""
    before = {m: uplink_packets(m) for m in on.net.machines[:2]}
    for to in (SERVER, SERVER6):
        assert guest.pings(to, count=10), on.net.dump()
    assert on.beyond.server.pings(public, count=10), on.net.dump()
    more = {m: uplink_packets(m) - before[m] for m in before}
    return more.pop(machine) >= 30 > max(more.values())


def uplink_packets(machine: Machine) -> int:
    """How many packets a machine has sent to the outside."""
    shown = json.loads(run("ip", "-json", "-stats", "link", "show", "dev", f"e{machine.number}"))
    packets: int = shown[0]["stats64"]["rx"]["packets"]
    return packets


def test_what_labels_count_is_that_of_the_gateways_that_live(
    started: list[Machine], tmp_path: Path
) -> None:
    with farm(tmp_path, started) as net:
        on = stage(net)
        paid = label(net, ("egress", {"remote_ip_prefix": "10.0.0.0/24"}), project="demo")
        net.settle()

        def told() -> tuple[int, bool]:
            found = net.api("GET", f"/tenantry/v1/metering-labels/{paid}/counters")
            return found["egress"]["packets"], found["complete"]

        assert on.inside.pings(SERVER, count=3)
        net.until(lambda: told() == (3, True))
        first = on.active
        first.crash()
        net.until(lambda: on.active != first)
        net.until(lambda: on.inside.pings(SERVER6))  # which no rule counts
        assert on.inside.pings(SERVER, count=4)
        net.until(lambda: told() == (4, False))
