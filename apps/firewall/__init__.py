# SPDX-License-Identifier: Apache-2.0

"""Firewalls (FWaaS v2): ordered rules that allow, deny or reject, on ports of routers and of
machines.

A firewall group gives its ports two policies: *ingress* is what the port's network, or machine,
gets; *egress* is what it sends. A router judges a packet when it knows both its ports, and before
sources are translated, as Linux does in its FORWARD chain: by the egress policy of the port it came
in by, and the ingress policy of the one it leaves by. A machine's port is judged with its security
groups; both must allow. In a policy the first rule that matches decides; where none does, or where
there is no policy, nothing passes.

As security groups do, rules judge connections as they were begun, in both directions, for as long
as they live; errors about a connection pass with it. What is rejected is told so (``packets.py``).
"""

from tenantry.apps.firewall import resources, tables
from tenantry.apps.firewall.flows import (
    compile_common,
    compile_policy,
    compile_port,
    compile_rule,
    policies_on,
    ports_with_firewall,
    rules_on,
)
from tenantry.apps.firewall.packets import handle
from tenantry.apps.firewall.records import FirewallGroup, FirewallPolicy, FirewallRule
from tenantry.controller.feature.app import App, Parts, Units, per_switch

FIREWALL = App(
    id=13,
    name="firewall",
    records=(
        FirewallRule,
        FirewallPolicy,
        FirewallGroup,
    ),
    units=(
        Units("all", per_switch, compile_common),
        Units("port", ports_with_firewall, compile_port),
        Units("policy", policies_on, compile_policy),
        Units("rule", rules_on, compile_rule),
    ),
    build=lambda conf: Parts(extension=resources.extension(), packet_in=handle),
    tables=tables.TABLES,
    adds_to=tables.ADDS_TO,
)
