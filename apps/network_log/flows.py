# SPDX-License-Identifier: Apache-2.0

"""Flows of network logging; see the package."""

from __future__ import annotations

from collections.abc import Iterator

from tenantry.apps.network_log.records import NetworkLog
from tenantry.apps.network_log.tables import LogPriority
from tenantry.apps.security_groups.tables import ALLOWED, ENTERING, LEAVING
from tenantry.controller.model import Binding, Port, View, derived, ports_on
from tenantry.controller.openflow.flow import Flow, Limit, Match, Punt
from tenantry.controller.openflow.keys import LOG_METER
from tenantry.controller.openflow.oxm import LATER_FRAGMENT
from tenantry.controller.openflow.pipeline import (
    IN_PORT,
    OUT_PORT,
    RULE_DIRECTION,
    VERDICT,
    Table,
)
from tenantry.controller.packets.frames import IPV4, IPV6

PACKETS_PER_SECOND, BURST = 100, 25
"""Of a switch. Neutron's defaults (rate_limit, burst_limit)."""

EVENTS = {"ACCEPT": (ALLOWED, ALLOWED), "DROP": (0, ALLOWED)}
"""What VERDICT is then, as (value, mask)."""


def compile_common(view: View, switch: int, id: str) -> Iterator[Flow | Limit]:
    """The meter, if anything is logged. Of a packet in fragments, that is the first one."""
    if logs(view):
        yield Limit(LOG_METER, PACKETS_PER_SECOND, BURST)
        for eth_type in (IPV4, IPV6):
            later: Match = {"eth_type": eth_type, "ip_frag": LATER_FRAGMENT}
            yield Flow(Table.LOG, LogPriority.LATER_FRAGMENT, later, ())


@derived
def logs(view: View) -> tuple[NetworkLog, ...]:
    """All logs that are switched on."""
    return tuple(log for log in view.find(NetworkLog) if log.enabled)


def logs_of(view: View, port: Port) -> list[NetworkLog]:
    """The logs that a port's packets go to."""
    groups = port.security_groups or frozenset()
    return [
        log
        for log in logs(view)
        if log.port_id in ("", port.id)
        and (log.group_id in groups if log.group_id else log.project_id == port.project_id)
    ]


def logged_ports(view: View, switch: int) -> frozenset[str]:
    """The ports on a switch that some log may be about."""
    found = frozenset[str]()
    for log in logs(view):
        if log.port_id:
            found |= {log.port_id} & ports_on(view, switch)
        elif log.group_id:
            found |= view.ids(Binding, switch=switch, security_groups=log.group_id)
        else:
            found |= ports_on(view, switch)
    return found


def compile_port(view: View, switch: int, port_id: str) -> Iterator[Flow]:
    """What leaves a port and enters it, by event."""
    port = view.get(Port, port_id)
    if port is None or port.security_groups is None:
        return
    asked = {log.event for log in logs_of(view, port)}
    for event, verdict in EVENTS.items():
        if asked & {event, "ALL"}:
            for way, field in ((LEAVING, IN_PORT), (ENTERING, OUT_PORT)):
                match: Match = {field: port.key, RULE_DIRECTION: way, VERDICT: verdict}
                yield Flow(Table.LOG, LogPriority.LOGGED, match, (Punt(LOG_METER),))
