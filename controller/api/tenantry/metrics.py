# SPDX-License-Identifier: Apache-2.0

"""``/metrics``: all that Prometheus is told (docs/monitoring.md). An operator is told everything, a
tenant what their own ports and networks carry."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from datetime import datetime
from functools import partial

from prometheus_client import generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from webob import Request, Response

from tenantry.controller import runtime
from tenantry.controller.api import wsgi
from tenantry.controller.api.access import Access
from tenantry.controller.api.tenantry.operations import switch_status
from tenantry.controller.api.tenantry.running import Running
from tenantry.controller.api.tenantry.traffic import Carried, Traffic
from tenantry.controller.feature.context import Context
from tenantry.controller.model import Binding, Network, Port
from tenantry.controller.model.binding import dpid_text

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

AT_ONCE = 100
"""Samples that are written before others have their turn."""

RULE = "get_tenantry_metrics"
"""Who may ask; RULE:controller is who is told of the controller and of switches."""

Sees = Callable[[str, str], bool]


class Metrics:
    """``timings`` are those of this process."""

    def __init__(self, running: Running, traffic: Traffic, timings: Collector) -> None:
        self._running = running
        self._traffic = traffic
        self._timings = timings

    def routes(self, access: Access) -> Iterator[wsgi.Route]:
        def answer(request: Request, context: Context) -> Response:
            access.policy.check_any(context, RULE)
            sees = partial(access.sees, self._running.store, context)

            def own(kind: str, id: str) -> bool:
                """Of a network that is shared, the sums are of what others do, too."""
                if kind != "network" or not sees(kind, id):
                    return sees(kind, id)
                network = self._running.store.get(kind, id)
                return network is not None and network["project_id"] == context.project_id

            is_told_all = not access.hidden_of_route(context, RULE)
            carried = self._traffic.carried()
            families = (
                self.families(carried, sees) if is_told_all else self.of_tenants(carried, own)
            )
            body = b"".join(_written(families))
            return Response(body, headerlist=[("Content-Type", CONTENT_TYPE)])

        yield wsgi.Route("GET", "/metrics", answer)

    def families(self, carried: Carried, sees: Sees) -> Iterator[Metric]:
        """All that there is."""
        yield from self._timings.collect()
        yield from _controller(self._running)
        yield from _switches(self._running)
        drops = carried.drops["switch"]
        yield _drops("switch", "switch", drops, {id for id, _ in drops})
        yield from self.of_tenants(carried, sees)

    def of_tenants(self, carried: Carried, sees: Sees) -> Iterator[Metric]:
        """What ports and networks carry, of those that the caller sees."""
        networks, ports = (
            {id for id, _ in (*sums, *carried.drops[kind]) if sees(kind, id)}
            for kind, sums in (("network", carried.networks), ("port", carried.ports))
        )
        for kind, shown, sums in (
            ("network", networks, carried.networks),
            ("port", ports, carried.ports),
        ):
            for value, number in (("packets", 0), ("octets", 1)):
                family = CounterMetricFamily(
                    f"tenantry_{kind}_{value}",
                    f"{value.capitalize()} that the {kind}'s guests sent (egress) and got "
                    "(ingress), since the controller has counted.",
                    labels=(f"{kind}_id", "direction"),
                )
                for (id, direction), total in runtime.paced(sums.items()):
                    if id in shown:
                        family.add_metric((id, direction), total[number])
                yield family
            yield _drops(kind, f"{kind}_id", carried.drops[kind], shown)
        yield _network_info(self._running, networks)
        yield _port_info(self._running, ports)


def _drops(
    kind: str, label: str, sums: Mapping[tuple[str, str], int], shown: Container[str]
) -> Metric:
    family = CounterMetricFamily(
        f"tenantry_{kind}_drops_packets",
        f"{_DROPS[kind]}, by cause, since the controller has counted.",
        labels=(label, "cause"),
    )
    for (id, cause), packets in runtime.paced(sums.items()):
        if id in shown:
            family.add_metric((id, cause), packets)
    return family


_DROPS = {
    "switch": "Packets that the switch dropped, whosever they are",
    "network": "Packets dropped of what the network's guests sent or were sent",
    "port": "Packets dropped of what the port sent or was sent",
}


def _network_info(running: Running, ids: Iterable[str]) -> Metric:
    family = GaugeMetricFamily(
        "tenantry_network_info",
        "What a network is called, and whose it is.",
        labels=("network_id", "name", "project_id"),
    )
    for id in ids:
        body = running.store.get("network", id)
        if body is not None and running.model.get(Network, id) is not None:
            family.add_metric((id, body["name"], body["project_id"]), 1)
    return family


def _port_info(running: Running, ids: Iterable[str]) -> Metric:
    family = GaugeMetricFamily(
        "tenantry_port_info",
        "What a port is called, whose it is, on which network.",
        labels=("port_id", "name", "project_id", "network_id"),
    )
    for id in ids:
        if (port := running.model.get(Port, id)) is not None:
            family.add_metric((id, port.name, port.project_id, port.network_id), 1)
    return family


def _controller(running: Running) -> Iterator[Metric]:
    """What there is to tell of the engine, of packets, connections and certificates."""
    runs = CounterMetricFamily(
        "tenantry_engine_runs", "Computations, by what had changed.", labels=_RUN_LABELS
    )
    seconds = CounterMetricFamily(
        "tenantry_engine_seconds", "Seconds spent on them.", labels=_RUN_LABELS
    )
    for labels, done in running.engine.runs.items():
        runs.add_metric(labels, done.count)
        seconds.add_metric(labels, done.seconds)
    yield from (runs, seconds)
    yield GaugeMetricFamily(
        "tenantry_engine_failed_units", "Units that do not compile.", len(running.engine.failed)
    )
    packets = CounterMetricFamily(
        "tenantry_packets",
        "Packets that switches sent to the controller: handled, dropped "
        "(a port's queue was full), malformed, failed (a mistake of ours).",
        labels=("outcome",),
    )
    for outcome in ("handled", "dropped", "malformed", "failed"):
        packets.add_metric([outcome], getattr(running.packets, outcome))
    yield packets
    connections = GaugeMetricFamily(
        "tenantry_connections", "Connections of each kind of client.", labels=("kind",)
    )
    for kind, clients in running.clients.items():
        connections.add_metric([kind], len(clients))
    yield connections
    yield from _probes(running)
    yield CounterMetricFamily(
        "tenantry_engine_differences",
        "Flows about which the engine's audit found it wrong.",
        running.audit.differences,
    )
    yield GaugeMetricFamily("tenantry_revision", "The newest commit.", running.store.head)
    yield GaugeMetricFamily(
        "tenantry_realised_revision",
        "The newest commit that every connected switch has confirmed.",
        running.status.revision(),
    )
    yield GaugeMetricFamily(
        "tenantry_absent_switches",
        "Switches that should hold flows, and are not connected.",
        len(running.status.absent()),
    )
    expiry = GaugeMetricFamily(
        "tenantry_certificate_expiry_timestamp_seconds",
        "When a certificate of ours runs out, by whom it is shown to: switches or clients.",
        labels=("shown_to",),
    )
    expires: dict[str, datetime | None] = {
        "switches": running.certificate_expires(),
        "clients": running.api_expires(),
    }
    for shown_to, when in expires.items():
        if when is not None:
            expiry.add_metric([shown_to], when.timestamp())
    yield expiry
    statuses: dict[str, int] = {}
    for port in runtime.paced(running.model.all(Binding)):
        status = running.status.port(str(port))
        statuses[status] = statuses.get(status, 0) + 1
    ports = GaugeMetricFamily(
        "tenantry_ports", "Ports that are plugged in, by their status.", labels=("status",)
    )
    for status, count in sorted(statuses.items()):
        ports.add_metric([status], count)
    yield ports


def _probes(running: Running) -> Iterator[Metric]:
    """Who is asked whether it is alive: members of load balancers."""
    prober = running.prober
    probes = CounterMetricFamily(
        "tenantry_probes",
        "Questions to members of load balancers whether they are alive, by what is asked, and "
        "whether it was answered well (alive) or not (dead).",
        labels=("kind", "outcome"),
    )
    for kind, number in prober.asked.items():
        failed = prober.failed[kind]
        probes.add_metric([kind, "alive"], number - failed)
        probes.add_metric([kind, "dead"], failed)
    yield probes
    yield CounterMetricFamily(
        "tenantry_probes_late",
        "How often one was asked later than was due, as many were being asked already.",
        prober.late,
    )
    for name, help, value in (
        ("under_way", "Questions that are under way.", prober.under_way),
        ("asked", "Members that are asked.", len(prober)),
        ("dead", "Of these, those that were found dead.", prober.dead),
    ):
        yield GaugeMetricFamily(f"tenantry_probes_{name}", help, value)


_RUN_LABELS = ("app", "kind", "cause")


def _switches(running: Running) -> Iterator[Metric]:
    switches = [
        (dpid_text(switch.id), switch, switch_status(running, switch))
        for switch in running.status.switches()
    ]
    info = GaugeMetricFamily(
        "tenantry_switch_info",
        "What a switch is called, and on which host it is.",
        labels=("switch", "name", "host"),
    )
    for id, switch, _ in switches:
        info.add_metric((id, switch.name, switch.host), 1)
    yield info
    for name, help, value in _SWITCH_GAUGES:
        gauge = GaugeMetricFamily(name, help, labels=("switch",))
        for id, _, status in switches:
            gauge.add_metric([id], float(status[value]))
        yield gauge
    refused = GaugeMetricFamily(
        "tenantry_switch_refused_units", "Units that the switch refuses.", labels=("switch",)
    )
    for id, _, status in switches:
        refused.add_metric([id], len(status["refused"]))
    yield refused


_SWITCH_GAUGES = (
    ("tenantry_switch_connected", "Whether the switch is connected.", "connected"),
    ("tenantry_switch_flows", "Flows that it should hold.", "flows"),
    ("tenantry_switch_revision", "The newest commit that it has confirmed.", "realised"),
    ("tenantry_switch_added", "Flows sent over this connection.", "added"),
    ("tenantry_switch_deleted", "Flows deleted over this connection.", "deleted"),
    ("tenantry_switch_repaired", "Flows that audits had to mend.", "repaired"),
)


class _One:
    """What ``prometheus_client`` collects from, to write a family."""

    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> Iterator[Metric]:
        yield self._family


def _written(families: Iterable[Metric]) -> Iterator[bytes]:
    """Prometheus's text format, some samples at a time."""
    for family in families:
        samples = [s for s in family.samples if not s.name.endswith("_created")]
        for start in range(0, len(samples) or 1, AT_ONCE):
            part = Metric(family.name, family.documentation, family.type, family.unit)
            part.samples = samples[start : start + AT_ONCE]
            text = generate_latest(_One(part))
            if start:
                text = b"".join(
                    line for line in text.splitlines(keepends=True) if not line.startswith(b"#")
                )
            yield text
            runtime.yield_now()
