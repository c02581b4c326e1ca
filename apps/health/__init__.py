# SPDX-License-Identifier: Apache-2.0

"""Health monitors: whether members of load balancers are alive.

The controller asks by itself, by sockets of its own: TCP, HTTP, TLS, UDP, SCTP, ping. A member
is an address of the service port's range, which says nothing but which member is meant, so tenants
may have equal addresses, and no tenant needs a process or an interface. The switch where the member
is (of one outside: the router's gateway) makes of it a packet of the tenant's network, from the VIP
to the member: it is routed there, and judged by the member's security groups, as any other. Answers
are known by the ports that were asked and those from which the controller asks, which nobody else
uses to begin a connection; they are taken out of the network behind all who have judged them, and
go back by the tunnels of the service port. So the VIP may be plugged in somewhere, or nowhere.

What is found becomes a record (MemberHealth) when it is another than before, and flows, proxies and
statuses follow from that.
"""

from __future__ import annotations

from oslo_config import cfg

from tenantry.apps.health import monitored, tables
from tenantry.apps.health.flows import compile_common, compile_target, targets_on
from tenantry.apps.health.packets import handle
from tenantry.apps.load_balancer.records import MemberHealth
from tenantry.controller.config import Options
from tenantry.controller.feature.app import App, Parts, Units, per_switch
from tenantry.controller.feature.probes import Probing, Verdict
from tenantry.controller.model import Change

OPTIONS: Options = {
    "health": [
        cfg.StrOpt(
            "file",
            default="/var/lib/tenantry/health.json",
            help="Where it is kept which members of load balancers were found dead, and why, so "
            "that they stay so over a restart until they are asked again; nowhere if empty.",
        ),
    ]
}


def _record(id: str, verdict: Verdict | None) -> Change:
    health = MemberHealth(id, verdict.alive, verdict.reason) if verdict is not None else None
    return Change(MemberHealth, id, health)


def _build(conf: cfg.ConfigOpts) -> Parts:
    return Parts(
        packet_in=handle,
        probing=Probing(
            *(monitored.READS, monitored.whole, monitored.wanted, _record),
            file=conf.health.file,
        ),
    )


HEALTH = App(
    id=30,
    name="health",
    units=(Units("all", per_switch, compile_common), Units("target", targets_on, compile_target)),
    options=OPTIONS,
    build=_build,
    tables=tables.TABLES,
    adds_to=tables.ADDS_TO,
    fields=tables.FIELDS,
)
