# SPDX-License-Identifier: Apache-2.0

"""Security groups: which connections a port may begin, and which it takes.

A packet is judged twice: where it leaves a port, by the egress rules of that port's groups, and
where it enters one, by the ingress rules of that one's. Nothing that no rule allows gets through.
Groups that track connections let answers through, too; they are judged by the rule that let the
connection begin, for as long as it lives, by what connection tracking knows of its first packet.
So a rule that is deleted, or a port that leaves a group, ends what had been allowed, both ways, at
once, and connection tracking need not be touched.

What it costs: a flow for each port (its identity: the group it is in), one for each rule (two if
it is for every protocol of a prefix), one for each address of a remote group's member on another
switch. A packet is looked up once if both its ends are here.

``flows.py`` has the way of a packet, ``exempt.py`` what passes by, ``zones.py`` where a connection
is tracked, ``connection_limits.py`` how it becomes known, ``members.py`` who is in which group, and
``rules.py`` the rules.
"""

from tenantry.apps.security_groups import resources, tables
from tenantry.apps.security_groups.commands import COMMANDS
from tenantry.apps.security_groups.connection_limits import compile_share
from tenantry.apps.security_groups.exempt import compile_servers
from tenantry.apps.security_groups.flows import compile_common
from tenantry.apps.security_groups.members import (
    all_remotes_on,
    compile_group,
    compile_member,
    compile_port,
    compile_remote,
    groups_on,
    members_known_by_address,
)
from tenantry.apps.security_groups.packets import handle
from tenantry.apps.security_groups.records import AddressGroup, SecurityGroup, SecurityGroupRule
from tenantry.apps.security_groups.routes import ROUTES
from tenantry.apps.security_groups.rules import compile_rule, rules_on
from tenantry.apps.security_groups.zones import compile_network
from tenantry.controller.feature.app import App, Parts, Units, per_switch
from tenantry.controller.model import networks_with_ports, ports_on, shares_on

SECURITY_GROUPS = App(
    id=10,
    name="security_groups",
    records=(
        SecurityGroup,
        SecurityGroupRule,
        AddressGroup,
    ),
    units=(
        Units("all", per_switch, compile_common),
        Units("network", networks_with_ports, compile_network),
        Units("servers", networks_with_ports, compile_servers),
        Units("port", ports_on, compile_port),
        Units("share", shares_on, compile_share),
        Units("group", groups_on, compile_group),
        Units("rule", rules_on, compile_rule),
        Units("remote", all_remotes_on, compile_remote),
        Units("member", members_known_by_address, compile_member),
    ),
    tables=tables.TABLES,
    adds_to=tables.ADDS_TO,
    fields=tables.FIELDS,
    build=lambda conf: Parts(extension=resources.extension(), packet_in=handle, routes=ROUTES),
    commands=COMMANDS,
)
