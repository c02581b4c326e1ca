# SPDX-License-Identifier: Apache-2.0

"""What each kind of thing has sent and received: which flows count it.

Every packet of a port is met by one of its flows in CLASSIFY as it comes in, before anybody judges
it, and by its flow in OUTPUT as it goes out. A router's packets are met in ROUTE, where the way is
chosen, on one switch and once; a floating IP's where it is translated; a rule's where it is asked.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from tenantry.apps.counters.drops import by_meters, by_port, of_router, summed
from tenantry.apps.counters.tally import tally, told
from tenantry.apps.firewall.records import FirewallPolicy
from tenantry.apps.l2.tables import ClassifyPriority
from tenantry.controller import runtime
from tenantry.controller.feature.counts import check_seen
from tenantry.controller.feature.routes import Counted, Counts, Running, UnitName
from tenantry.controller.model import Port
from tenantry.controller.network.records import FloatingIp
from tenantry.controller.network.routers import router_interfaces
from tenantry.controller.openflow.flow import SetField
from tenantry.controller.openflow.pipeline import EXIT, Table

OF_A_PORT = (Table.CLASSIFY, Table.OUTPUT, Table.PUNT_LIMIT, Table.IDENTITY)


TO_MANY = (ClassifyPriority.BROADCAST, ClassifyPriority.PAIR_BROADCAST)


def units_of(port_ids: Iterable[str]) -> list[UnitName]:
    """Of ports: the units whose flows count what they send and get."""
    apps = ("l2", "punt", "port_security", "qos")
    return [UnitName(app, "port", id) for id in port_ids for app in apps]


def traffic(flows: Collection[Counted]) -> dict[str, Any]:
    """What ports have sent and received, of the flows of those."""
    sent = [flow for flow in flows if flow.table == Table.CLASSIFY.id]
    return {
        "sent": tally(sent),
        "received": tally(flow for flow in flows if flow.table == Table.OUTPUT.id),
        "broadcasts": tally(flow for flow in sent if flow.priority in TO_MANY),
    }


def port(running: Running, id: str) -> dict[str, Any]:
    """What a port has sent and received, and what became of what was dropped."""
    check_seen(running, "port", id)
    record = running.view.get(Port, id)
    if record is not None and record.router_id:
        raise ValueError(
            f"port {id} is a router's: see /tenantry/v1/routers/{record.router_id}/counters"
        )
    counts = running.counts(units_of([id]), OF_A_PORT)
    drops, counts = _drops(running, counts)
    return told("port", id, counts, {**traffic(counts.flows), "drops": drops})


def network(running: Running, id: str) -> dict[str, Any]:
    """The same of all ports of a network together that who asks sees."""
    check_seen(running, "network", id)
    on_it = runtime.paced(running.view.ids(Port, network_id=id))
    ids = [p for p in on_it if running.sees("port", p)]
    counts = running.counts(units_of(ids), OF_A_PORT)
    drops, counts = _drops(running, counts)
    answer = {**traffic(counts.flows), "drops": drops, "ports": len(ids)}
    return told("network", id, counts, answer)


def _drops(running: Running, counts: Counts) -> tuple[list[dict[str, Any]], Counts]:
    """What was dropped of the ports whose counts these are, and the counts: with the switches that
    have told these, but not that."""
    ids, switches = {flow.id for flow in counts.flows}, {flow.switch for flow in counts.flows}
    losses, silent = by_port(running, ids, switches)
    of_flows = (loss for each in losses.values() for loss in each)
    return summed([*by_meters(counts.meters), *of_flows]), _also_silent(counts, silent)


def _also_silent(counts: Counts, silent: Mapping[int, str]) -> Counts:
    """Counts that are not all, for these switches have not told what they dropped."""
    return counts._replace(silent={**silent, **counts.silent})


def router(running: Running, id: str) -> dict[str, Any]:
    """What a router has routed, by the interface that it left by. A packet counts once, on whatever
    switch its way was chosen."""
    check_seen(running, "router", id)
    units = [UnitName("routing", "router", id)]
    tables = (Table.ROUTE, Table.ROUTE_PATH)
    counts = running.counts([*units, UnitName("qos", "gateway", id)], tables)
    exits = {
        (switch, cookie): action.value
        for switch, _, cookie, flow in running.wanted(units)
        for action in flow.actions
        if isinstance(action, SetField) and action.field == EXIT
    }
    by_exit: dict[int, list[Counted]] = {}
    for flow in counts.flows:
        if (flow.switch, flow.cookie) in exits:
            by_exit.setdefault(exits[flow.switch, flow.cookie], []).append(flow)
    interfaces = {leg.port.id: leg for leg in router_interfaces(running.view, id)}.values()
    switches = {flow.switch for flow in counts.flows}
    drops, silent = of_router(running, [leg.port.key for leg in interfaces], switches)
    answer = {
        "drops": summed([*by_meters(counts.meters), *drops]),
        "routed": tally(flow for flows in by_exit.values() for flow in flows),
        "interfaces": [
            {
                "port_id": leg.port.id,
                "network_id": leg.network.id,
                "gateway": leg.gateway,
                "sent": tally(by_exit.get(leg.port.key, ())),
            }
            for leg in interfaces
        ],
    }
    return told("router", id, _also_silent(counts, silent), answer)


def floating_ip(running: Running, id: str) -> dict[str, Any]:
    """What was translated from and to a floating IP."""
    check_seen(running, "floatingip", id)
    record = running.view.get(FloatingIp, id)
    if record is not None and record.router_id and not record.fixed_port_id:
        raise ValueError(
            f"floating IP {id} leads to ports by port forwarding, which is counted at its router: "
            f"see /tenantry/v1/routers/{record.router_id}/counters"
        )
    tables = (Table.ROUTER_NAT_IN, Table.ROUTER_NAT_OUT)
    units = [UnitName(app, "floating", id) for app in ("nat", "qos")]
    counts = running.counts(units, tables)
    by_table = {t: [flow for flow in counts.flows if flow.table == t.id] for t in tables}
    answer = {
        "sent": tally(by_table[Table.ROUTER_NAT_OUT]),
        "received": tally(by_table[Table.ROUTER_NAT_IN]),
        "drops": summed(by_meters(counts.meters)),
    }
    return told("floatingip", id, counts, answer)


def security_group_rule(running: Running, id: str) -> dict[str, Any]:
    """The packets that a rule of a security group has let through, both ways."""
    check_seen(running, "security_group_rule", id)
    counts = running.counts([UnitName("security_groups", "rule", id)])
    return told("security_group_rule", id, counts, {"decided": tally(counts.flows)})


def firewall_rule(running: Running, id: str) -> dict[str, Any]:
    """The packets that a firewall's rule has decided about, in whatever policy it stands."""
    check_seen(running, "firewall_rule", id)
    policies = [policy.id for policy in running.view.find(FirewallPolicy) if id in policy.rules]
    counts = running.counts([UnitName("firewall", "rule", f"{each} {id}") for each in policies])
    return told("firewall_rule", id, counts, {"decided": tally(counts.flows)})
