# SPDX-License-Identifier: Apache-2.0

"""The records of firewalls: rules, policies, groups."""

from __future__ import annotations

from typing import ClassVar

from tenantry.controller.model import parse
from tenantry.controller.model.model import Indexes
from tenantry.controller.model.record import record, stored
from tenantry.controller.model.values import Prefix


@record
class FirewallRule:
    """A rule of policies: what it matches of a connection's first packet, and what it decides."""

    KIND: ClassVar = "firewall_rule"
    INDEXES: ClassVar[Indexes] = ()

    id: str
    enabled: bool
    action: str  # "allow", "deny" or "reject"
    version: int = stored("ip_version")
    protocol: str = stored(empty="")  # by name, or ""
    source: Prefix | None = stored("source_ip_address", parse.prefix, empty=None)
    destination: Prefix | None = stored("destination_ip_address", parse.prefix, empty=None)
    source_ports: tuple[int, int] | None = stored("source_port", parse.ports, empty=None)
    destination_ports: tuple[int, int] | None = stored("destination_port", parse.ports, empty=None)


@record
class FirewallPolicy:
    """Rules in their order."""

    KIND: ClassVar = "firewall_policy"
    INDEXES: ClassVar[Indexes] = ()

    id: str
    key: int  # small, unique, permanent: what POLICY carries
    rules: tuple[str, ...] = stored("firewall_rules", tuple)


@record
class FirewallGroup:
    """Ports, and the policies that judge what they get and what they send."""

    KIND: ClassVar = "firewall_group"
    INDEXES: ClassVar[Indexes] = (("ports",),)

    id: str
    admin_state_up: bool
    ports: frozenset[str] = stored(parse=frozenset)
    # of a policy; or "": nothing passes
    ingress_id: str = stored("ingress_firewall_policy_id", empty="")
    egress_id: str = stored("egress_firewall_policy_id", empty="")
