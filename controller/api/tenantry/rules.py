# SPDX-License-Identifier: Apache-2.0

"""``/tenantry/v1/rules`` and ``/network-log``: which rules are used, and what was logged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from webob import Request, Response

from tenantry.controller import runtime
from tenantry.controller.api.tenantry.held import ask
from tenantry.controller.api.tenantry.waiting import Waiting, hung_up
from tenantry.controller.api.wsgi import Route
from tenantry.controller.feature.context import Context
from tenantry.controller.model import FirewallRule, SecurityGroup, SecurityGroupRule
from tenantry.controller.openflow.pipeline import Table
from tenantry.controller.service.service import Service

_COUNTED = {Table.RULES.id, Table.FIREWALL_RULES.id}


def rules(service: Service, unused: str | None = None) -> list[dict[str, Any]]:
    """Every rule of security groups and firewalls, with the packets that it has decided about on
    all switches, the most used first; with ``unused``, only those that decided about none. Counters
    begin anew when a switch does. Rules of a group that overlap may share what they count."""
    hits: Counter[str] = Counter()
    for dpid in service.engine.wanted:
        stats = ask(service, dpid, _COUNTED).flows if dpid in service.connections else []
        origins = service.engine.origins(dpid, (flow.cookie for flow in stats))
        for flow in stats:
            for unit in origins.get(flow.cookie, ()):
                if unit.units.kind == "rule":
                    hits[unit.id.rpartition(" ")[2]] += flow.packets
    groups = service.model.all(SecurityGroupRule).values()
    firewalls = service.model.all(FirewallRule).values()
    found = [_rule(rule.id, "security_group_rule", _group(service, rule), hits) for rule in groups]
    found += [_rule(rule.id, "firewall_rule", rule.action, hits) for rule in firewalls]
    if unused:
        found = [rule for rule in found if not rule["packets"]]
    return sorted(found, key=lambda rule: (-rule["packets"], rule["kind"], rule["id"]))


def _rule(id: str, kind: str, of: str, hits: Counter[str]) -> dict[str, Any]:
    return {"id": id, "kind": kind, "of": of, "packets": hits[id]}


def _group(service: Service, rule: SecurityGroupRule) -> str:
    group = service.model.get(SecurityGroup, rule.security_group_id)
    return f"{group.name} of {group.project_id}" if group else rule.security_group_id


def network_log(service: Service, waiting: Waiting) -> Route:
    """The newest lines, or, with ``follow``, lines as they come, one JSON object each."""

    def handler(request: Request, context: Context) -> tuple[int, Any] | Response:
        if request.GET.get("follow"):
            request.environ[runtime.UNBUFFERED] = 0
            waiting.check()

            def lines() -> Iterator[bytes]:
                with waiting.place():
                    yield from service.packet_log.follow(hung_up(request))

            return Response(app_iter=lines(), content_type="application/x-ndjson")
        return 200, list(service.packet_log.recent)

    return Route("GET", "/tenantry/v1/network-log", handler)
