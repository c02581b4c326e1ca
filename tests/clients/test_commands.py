# SPDX-License-Identifier: Apache-2.0

"""Every command of ``openstack`` for networks and load balancers, with tokens of a real Keystone,
by each role: what the API answers is what the policies say, and never an error of its own."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from eventlet.green import subprocess

from tenantry.controller import runtime
from tenantry.controller.api import application, auth
from tenantry.controller.api.kind import Kinds
from tenantry.controller.cli import features
from tests.api.conftest import Api, caller, extensions
from tests.api.one_of_each import World, one_of_each, one_of_each_balanced
from tests.clients.keystone import Keystone

PROGRAM = Path(__file__).with_name("commands.py")
ROLES = ("admin", "manager", "member", "reader")

COMMANDS = sorted(
    point.name.replace("_", " ")
    for group in ("openstack.network.v2", "openstack.load_balancer.v2")
    for point in entry_points(group=group)
)

KINDS = {
    "floating ip": "floatingip",
    "floating ip port forwarding": "port_forwarding",
    "loadbalancer availabilityzone": "load_balancer_zone",
    "loadbalancer availabilityzoneprofile": "load_balancer_zone_profile",
    "loadbalancer flavor": "load_balancer_flavor",
    "loadbalancer flavorprofile": "load_balancer_flavor_profile",
    "loadbalancer healthmonitor": "healthmonitor",
    "loadbalancer l7policy": "l7policy",
    "loadbalancer l7rule": "l7rule",
    "loadbalancer listener": "listener",
    "loadbalancer listener stats": "listener",
    "loadbalancer member": "member",
    "loadbalancer pool": "pool",
    "loadbalancer stats": "loadbalancer",
    "loadbalancer status": "loadbalancer",
    "local ip association": "port_association",
    "network agent": "agent",
    "network flavor": "flavor",
    "network flavor profile": "service_profile",
    "network l3 conntrack helper": "conntrack_helper",
    "network meter": "metering_label",
    "network meter rule": "metering_label_rule",
    "network qos policy": "policy",
    "network qos rule": "bandwidth_limit_rule",
    "network rbac": "rbac_policy",
    "network segment": "segment",
    "network segment range": "network_segment_range",
    "network trunk": "trunk",
    "router ndp proxy": "ndp_proxy",
    "security group default statefulness": "security_groups_default_statefulness",
    "subnet pool": "subnetpool",
}
"""What the client calls a kind, where it is not our name with spaces."""

PARENTS = {
    "port_forwarding": "{forwarding}",
    "port_association": "{local_ip}",
    "conntrack_helper": "{router}",
    "bandwidth_limit_rule": "{policy}",
    "member": "{pool}",
    "l7rule": "{l7policy}",
}
"""What goes before the id of what is a part of something."""

WORDS = {
    "address group create": "made",
    "address group unset": "{address_group} --address 192.0.2.0/24",
    "address scope create": "made",
    "default security group rule create": "--protocol tcp --dst-port 99",
    "floating ip create": "{outside}",
    "floating ip port forwarding create": "{forwarding} --port {port} --internal-ip-address "
    "{address} --internal-protocol-port 81 --external-protocol-port 8081 --protocol tcp",
    "floating ip port forwarding list": "{forwarding}",
    "ip availability show": "{network}",
    "loadbalancer availabilityzone create": "--name made --availabilityzoneprofile "
    "{load_balancer_zone_profile}",
    "loadbalancer availabilityzoneprofile create": "--name made --provider tenantry "
    "--availability-zone-data {{}}",
    "loadbalancer availabilityzoneprofile delete": "made",
    "loadbalancer create": "--name made --vip-subnet-id {subnet}",
    "loadbalancer delete": "{loadbalancer} --cascade",
    "loadbalancer failover": "{loadbalancer}",
    "loadbalancer flavor create": "--name made --flavorprofile {load_balancer_flavor_profile}",
    "loadbalancer flavorprofile create": "--name made --provider tenantry --flavor-data {{}}",
    "loadbalancer flavorprofile delete": "made",
    "loadbalancer healthmonitor create": "{unwatched} --type TCP --delay 5 --timeout 3 "
    "--max-retries 2",
    "loadbalancer healthmonitor set": "{healthmonitor} --delay 7",
    "loadbalancer healthmonitor unset": "{healthmonitor} --name",
    "loadbalancer l7policy create": "{listener} --action REJECT",
    "loadbalancer l7rule create": "{l7policy} --type PATH --compare-type STARTS_WITH --value /x",
    "loadbalancer l7rule list": "{l7policy}",
    "loadbalancer l7rule set": "{l7policy} {l7rule} --value /y",
    "loadbalancer l7rule unset": "{l7policy} {l7rule} --invert",
    "loadbalancer listener create": "{loadbalancer} --protocol TCP --protocol-port 99",
    "loadbalancer member create": "{pool} --address 10.1.0.99 --protocol-port 80",
    "loadbalancer member list": "{pool}",
    "loadbalancer member set": "{pool} {member} --weight 2",
    "loadbalancer member unset": "{pool} {member} --weight",
    "loadbalancer pool create": "--loadbalancer {loadbalancer} --protocol TCP "
    "--lb-algorithm ROUND_ROBIN",
    "loadbalancer provider capability list": "tenantry",
    "loadbalancer quota defaults show": "",
    "loadbalancer quota reset": "{project}",
    "loadbalancer quota set": "{project} --loadbalancer 9",
    "loadbalancer quota show": "{project}",
    "loadbalancer quota unset": "{project} --loadbalancer",
    "local ip association create": "{local_ip} {port}",
    "local ip association delete": "{local_ip} {port}",
    "local ip association list": "{local_ip}",
    "local ip create": "--network {network}",
    "network agent add network": "--dhcp {agent} {network}",
    "network agent add router": "--l3 {agent} {router}",
    "network agent remove network": "--dhcp {agent} {network}",
    "network agent remove router": "--l3 {agent} {router}",
    "network agent router set": "{agent} {router} --ha-chassis-priority 1",
    "network agent set": "{agent} --enable",
    "network auto allocated topology create": "",
    "network auto allocated topology delete": "",
    "network create": "made",
    "network flavor add profile": "{flavor} {service_profile}",
    "network flavor create": "made --service-type L3_ROUTER_NAT",
    "network flavor profile create": "--metainfo made",
    "network flavor remove profile": "{flavor} {service_profile}",
    "network l3 conntrack helper create": "{router} --helper tftp --protocol udp --port 70",
    "network l3 conntrack helper list": "{router}",
    "network l3 conntrack helper set": "{router} {conntrack_helper} --port 71",
    "network meter create": "made",
    "network meter rule create": "{metering_label} --ingress --source-ip-prefix 192.0.2.0/24",
    "network onboard subnet": "{network} {subnetpool}",
    "network qos policy create": "made",
    "network qos rule create": "{policy} --type dscp-marking --dscp-mark 8",
    "network qos rule list": "{policy}",
    "network qos rule set": "{policy} {bandwidth_limit_rule} --max-kbps 9000",
    "network qos rule type show": "dscp-marking",
    "network rbac create": "{network} --type network --action access_as_shared "
    "--target-project {project}",
    "network rbac set": "{rbac_policy} --target-project {project}",
    "network segment create": "made --network {network} --network-type vlan "
    "--physical-network wire9 --segment 99",
    "network segment range create": "made --network-type vlan --physical-network wire9 "
    "--minimum 300 --maximum 302",
    "network service provider list": "",
    "network subport list": "--trunk {trunk}",
    "network trunk create": "made --parent-port {free}",
    "network trunk subport add": "{trunk} {free} --segmentation-type vlan --segmentation-id 99",
    "network trunk subport list": "{trunk}",
    "network trunk subport remove": "{trunk} {free}",
    "network trunk unset": "{trunk} --subport {free}",
    "port create": "made --network {network}",
    "port delete": "{free}",  # who has a machine takes its port from it first
    "router add gateway": "{router} {outside}",
    "router add port": "{router} {free}",
    "router add route": "{router} --route destination=198.18.0.0/15,gateway=10.1.0.8",
    "router add subnet": "{router} {subnet}",
    "router create": "made",
    "router ndp proxy create": "{router} --port {free}",
    "router remove gateway": "{router} {outside}",
    "router remove port": "{router} {free}",
    "router remove route": "{router} --route destination=198.18.0.0/15,gateway=10.1.0.8",
    "router remove subnet": "{router} {subnet}",
    "security group create": "made",
    "security group rule create": "{security_group} --protocol udp --dst-port 99",
    "subnet create": "made --network {network} --subnet-range 10.77.0.0/24",
    "subnet pool add network": "{network} {subnetpool}",
    "subnet pool create": "made --pool-prefix 10.66.0.0/16",
}
"""Commands whose words do not follow from what they are about."""

ELSEWHERE = {
    "network auto allocated topology create": "see test_auto_allocated_topology.py",
    "network auto allocated topology delete": "likewise",
    "network agent router set": "OVN's, which we do not offer",
    "router add gateway": "external-gateway-multihoming, which we do not offer",
    "router remove gateway": "likewise",
    "security group default statefulness create": "its body is called otherwise in Neutron",
    "security group default statefulness set": "likewise",
}
"""Commands that are not run, and why."""

_NAMED = {
    *("address scope", "local ip", "network segment range"),
    *("loadbalancer flavorprofile", "loadbalancer availabilityzoneprofile"),
}


def words(command: str, places: dict[str, str]) -> list[str]:
    """A command line that makes sense."""
    *of, verb = command.split()
    about = " ".join(of)
    kind = KINDS.get(about, about.replace(" ", "_"))
    if command in WORDS:
        line = WORDS[command]
    elif about.startswith("loadbalancer amphora"):
        line = "" if verb == "list" else "{port}"  # there is none
    elif verb == "list":
        line = ""
    else:
        line = f"{PARENTS.get(kind, '')} {{{kind}}}"
        if verb == "set":
            line += " --name changed" if about in _NAMED else " --description changed"
        elif verb == "unset":
            line += " --description" if about.startswith("loadbalancer") else " --all-tag"
    return [*command.split(), *line.format(**places).split()]


def in_order() -> list[str]:
    """As far as they are run: what is a part of something is deleted before that, and what it has
    been given after it."""
    verbs = ("list", "show", "set", "unset", "create")

    def place(command: str) -> tuple[int, int]:
        verb = command.split()[-1]
        if verb == "delete":
            offered = command.startswith(("loadbalancer flavor", "loadbalancer availabilityzone"))
            return len(verbs) + 1 + offered, -len(command.split()) - ("rule" in command)
        return verbs.index(verb) if verb in verbs else len(verbs), 0

    return sorted((command for command in COMMANDS if command not in ELSEWHERE), key=place)


class Asked(NamedTuple):
    method: str
    path: str
    status: int


class Cloud:
    """The API behind Keystone's door, which notes what it is asked; a world of project demo's."""

    def __init__(self, keystone: Keystone, directory: Path, project: str) -> None:
        url = f"sqlite:///{directory}/tenantry.db"
        built = Api(url, application.kinds(extensions()), authenticate=auth.none(project))
        self.places = places(one_of_each(built), one_of_each_balanced(built), project)
        built.store.close()
        door = auth.door(features.load([str(keystone.directory / "tenantry.conf")]))
        self.api = Api(url, application.kinds(extensions()), authenticate=door)
        self.asked: list[Asked] = []
        listener = runtime.listen(("127.0.0.1", keystone.network_port))
        self._server = runtime.spawn(runtime.wsgi_server, listener, self._app, log_output=False)

    def _app(self, environ: Any, start_response: Any) -> Any:
        def start(status: str, *more: Any) -> Any:
            path = environ["PATH_INFO"].removesuffix(".json")
            self.asked.append(Asked(environ["REQUEST_METHOD"], path, int(status[:3])))
            return start_response(status, *more)

        return self.api.app(environ, start)

    def allows(self, role: str, rule: str) -> bool:
        """Whether a role may do it to what is its project's."""
        project = self.places["project"]
        return self.api.kinds.policy.allows(caller(project, role), rule, lambda name: project)

    def close(self) -> None:
        self._server.kill()
        self.api.store.close()


def places(world: World, balanced: World, project: str) -> dict[str, str]:
    found = {kind: url.rpartition("/")[2] for kind, url in (balanced.urls | world.urls).items()}
    web = {"loadbalancer_id": found["loadbalancer"], "protocol": "HTTP"}
    api, forwarding = world.api, world.urls["port_forwarding"].split("/")
    return {
        **found,
        "project": project,
        "forwarding": forwarding[forwarding.index("floatingips") + 1],
        "outside": api.list("network", "name=outside")[0]["id"],
        "free": world.other("port", network_id=found["network"]),
        "unwatched": balanced.other("pool", **web, lb_algorithm="ROUND_ROBIN"),
        "address": api.show("port", found["port"])["fixed_ips"][0]["ip_address"],
    }


def rule_of(kinds: Kinds, asked: Asked) -> str:
    """The policy's rule that a request is about, if it is for one of a kind, or to make one. (Lists
    are for everybody: they leave out what nobody may see.)"""
    verbs = {"GET": "get", "PUT": "update", "POST": "create", "DELETE": "delete"}
    for kind in kinds.values():
        path = kind.path.format(parent="[^/]+").replace("_", "-")
        below = "" if asked.method == "POST" else "/[^/]+"
        if not kind.internal and re.fullmatch(path + below, asked.path.replace("_", "-")):
            return kind.rule_to(verbs[asked.method])
    return ""


def wrong(cloud: Cloud, command: str, role: str, status: int, said: str) -> Iterator[str]:
    """What is wrong with how a command went."""
    if "Traceback" in said:
        yield f"a trace back: {said[-300:]}"
    if status and not said:
        yield f"ended with {status}, without a word"
    if not cloud.asked:
        yield f"asked nothing: {said}"
    balancing = command.startswith("loadbalancer ") and "amphora" not in command  # there are none
    if role == "admin" and status and balancing:
        yield f"ended with {status}: {said}"
    if role == "admin" and any(a.status in (401, 403) for a in cloud.asked):
        yield f"refused an administrator: {cloud.asked}"
    for asked in cloud.asked:
        if asked.status >= 500 or asked.status == 401:
            yield f"{asked}"
        rule = rule_of(cloud.api.kinds, asked)
        if rule:
            allowed = cloud.allows(role, rule)
            if allowed == (asked.status in (403, 404)):
                yield f"{asked}, which {rule} {'allows' if allowed else 'does not allow'}: {said}"


def test_what_is_said_of_commands_is_said_of_some_that_there_are() -> None:
    assert len(COMMANDS) > 150
    assert sum(command.startswith("loadbalancer ") for command in COMMANDS) >= 82
    assert {*WORDS, *ELSEWHERE} <= {*COMMANDS}


@pytest.mark.parametrize("role", ROLES)
def test_every_command_by_each_role(keystone: Keystone, tmp_path: Path, role: str) -> None:
    project = keystone.ask("admin", "project", "show", "demo", "-f", "value", "-c", "id")
    cloud = Cloud(keystone, tmp_path, project)
    found = []
    program = subprocess.Popen(
        [sys.executable, str(PROGRAM)],
        env=keystone.environment(role),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        for command in in_order():
            cloud.asked.clear()
            program.stdin.write(json.dumps(words(command, cloud.places)) + "\n")
            program.stdin.flush()
            status, said = json.loads(program.stdout.readline())
            found += [f"{command}: {text}" for text in wrong(cloud, command, role, status, said)]
    finally:
        program.stdin.close()
        program.wait()
        cloud.close()
    assert not found, "\n".join(found)
