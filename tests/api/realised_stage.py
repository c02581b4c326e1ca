# SPDX-License-Identifier: Apache-2.0

"""Where ``test_realised.py`` changes things: a world that is always the same, and what makes use of
what was changed."""

from __future__ import annotations

import itertools
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tenantry.apps import APPS
from tenantry.controller.api import application as neutron
from tenantry.controller.api.core import port as port_rules
from tests.api.conftest import Api
from tests.api.observed import CONF, Observed
from tests.api.one_of_each import World, one_of_each
from tests.api.realised_values import LEFT_OUT

UNKNOWN = "00000000-0000-4000-8000-000000000000"


class Stage:
    """A world that is always the same, and copies of it to change."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.directory = directory
        self.numbers = itertools.count()
        numbered = lambda: uuid.UUID(int=next(self.numbers) + (4 << 76) + (8 << 60))  # noqa: E731
        monkeypatch.setattr(uuid, "uuid4", numbered)
        monkeypatch.setattr(
            port_rules.secrets, "token_hex", lambda size: f"{next(self.numbers):0{2 * size}x}"
        )
        self.copies = 0
        self._kept: dict[Any, Any] = {}
        api = self.api("base")
        self.world = one_of_each(api)
        extra(self.world)
        self.bodies = {kind: self.world.shown(kind) for kind in self.world.urls}
        api.store.close()

    def api(self, name: str) -> Api:
        kinds = neutron.kinds(e for app in APPS if (e := app.build(CONF).extension))
        return Api(f"sqlite:///{self.directory}/{name}.db", kinds)

    def copy(self) -> Api:
        self.copies += 1
        shutil.copy(self.directory / "base.db", self.directory / f"{self.copies}.db")
        self.numbers = itertools.count(100_000)
        return self.api(str(self.copies))

    def changed(self, method: str, kind: str, attributes: dict[str, Any]) -> Observed | str:
        """What is seen after a request; or, if it was refused, the words."""
        api = self.copy()
        url = self.world.urls[kind] if method == "PUT" else self.world.new[kind][0]
        whole = {**({} if method == "PUT" else self.world.new[kind][1]), **attributes}
        whole = {name: value for name, value in whole.items() if value is not LEFT_OUT}
        id = url.rpartition("/")[2]
        if method == "POST" or attributes:
            status, answer = api.request(method, url, {kind: whole})
            if status >= 400:
                api.store.close()
                return str(answer["NeutronError"]["message"])
            id = answer[kind].get("id", "")
        self.numbers = itertools.count(110_000)  # however many the request took
        return Observed(api, id, list(USES.get(kind, nothing)(Use(api, self.world), id)))

    def body(self, method: str, kind: str) -> dict[str, Any]:
        """The values that the attributes have if nothing else is said."""
        if method == "POST":
            defaults = self.world.api.kinds[kind].attributes.items()
            return {n: spec.get("default") for n, spec in defaults} | self.world.new[kind][1]
        return self.bodies[kind]

    def unchanged(self, method: str, kind: str) -> Observed:
        key = method, kind
        if key not in self._kept:
            self._kept[key] = self.changed(method, kind, {})
        found = self._kept[key]
        assert isinstance(found, Observed), f"{method} {kind}: {found}"
        return found


class Use:
    """Requests that make use of what was changed; what became of them, in a few words."""

    def __init__(self, api: Api, world: World) -> None:
        self.api, self.world = api, world

    def post(self, kind: str, parent: str = "", project: str = "default", **body: Any) -> Any:
        url = self.api.kinds[kind].path.format(parent=parent)
        status, answer = self.api.request("POST", url, {kind: body}, X_Project_Id=project)
        self.made = answer.get(kind, {})
        if status >= 400:
            return f"{status} {answer['NeutronError']['type']}"
        shown = ("cidr", "fixed_ips", "port_security_enabled", "mtu", "floating_ip_address", "id")
        return [self.made.get(name) for name in shown]

    def put(self, url: str, body: Any) -> Any:
        return self.api.request("PUT", url, body)[0]


def use_trunk(use: Use, id: str) -> Iterator[Any]:
    """One that is switched off must not be changed."""
    body = {"sub_ports": [{"port_id": UNKNOWN, "segmentation_type": "vlan", "segmentation_id": 5}]}
    yield use.put(f"/v2.0/trunks/{id}/add_subports", body)


def nothing(use: Use, id: str) -> Iterator[Any]:
    return iter(())


def use_range(use: Use, id: str) -> Iterator[Any]:
    """Networks get their ids out of it, one project's or everybody's."""
    for project, network_type in itertools.product(("red", "green"), ("vlan", "vxlan")):
        for _ in range(8 if network_type == "vlan" else 1):
            yield use.post("network", project_id=project, **{"provider:network_type": network_type})
            yield use.made.get("provider:physical_network")
            yield use.made.get("provider:segmentation_id")


def use_network(use: Use, id: str) -> Iterator[Any]:
    yield use.post("subnet", network_id=id, cidr="10.7.0.0/24", ip_version=4)
    yield use.post("subnet", network_id=id, cidr="2001:db8:7::/64", ip_version=6)
    yield use.post("port", network_id=id)
    yield use.post("port", network_id=id, project="green")
    gateway = {"network_id": id}
    yield use.post("router", external_gateway_info=gateway)


def use_subnet(use: Use, id: str) -> Iterator[Any]:
    network = use.api.show("subnet", id)["network_id"]
    yield use.post("port", network_id=network, fixed_ips=[{"subnet_id": id}], dns_name="www")
    yield use.post("port", network_id=network, device_owner="compute:elsewhere")


def use_pool(use: Use, id: str) -> Iterator[Any]:
    network = use.world.others["other_network"]
    for cidr in ("10.80.0.0/26", "10.81.0.0/26", "10.90.0.0/26", "10.91.0.0/26"):
        more = {"subnetpool_id": id, "ip_version": 4, "cidr": cidr}
        yield use.post("subnet", network_id=network, **more)
    for length in (LEFT_OUT, 24, 26, 27, 28, 29):
        more = {} if length is LEFT_OUT else {"prefixlen": length}
        yield use.post("subnet", network_id=network, subnetpool_id=id, ip_version=4, **more)
    yield use.post("subnet", network_id=network, ip_version=4, use_default_subnetpool=True)
    for number in range(3):
        yield use.post("network")
        yield use.post(
            "subnet",
            network_id=use.made["id"],
            subnetpool_id=id,
            ip_version=4,
            prefixlen=24 + number,
        )


def use_scope(use: Use, id: str) -> Iterator[Any]:
    for prefix in ("10.66.0.0/16", "2001:db8:66::/48"):
        yield use.post("subnetpool", name="p", prefixes=[prefix], address_scope_id=id)


def use_group(use: Use, id: str) -> Iterator[Any]:
    yield use.post("port", network_id=use.world.id("network"), security_groups=[id])


def use_address_group(use: Use, id: str) -> Iterator[Any]:
    group = use.world.id("security_group")
    yield use.post(
        "security_group_rule",
        security_group_id=group,
        direction="ingress",
        remote_address_group_id=id,
    )


def use_default_rule(use: Use, id: str) -> Iterator[Any]:
    yield use.post("port", network_id=use.world.id("network"), project="fresh")
    yield use.post("security_group", name="more", project="fresh")
    use_of_it = {"network_id": use.world.id("network"), "security_groups": [use.made.get("id")]}
    yield use.post("port", project="fresh", **use_of_it)


def use_flavor(use: Use, id: str) -> Iterator[Any]:
    yield use.post("router", flavor_id=id)


def use_profile(use: Use, id: str) -> Iterator[Any]:
    yield use.post("flavor", service_type="L3_ROUTER_NAT", service_profiles=[id])
    yield use.post("router", flavor_id=use.made.get("id"))


def use_setting(use: Use, id: str) -> Iterator[Any]:
    for project in ("default", "green", "red"):
        yield use.post("security_group", name="x", project_id=project)
        yield use.made.get("stateful")


def use_router(use: Use, id: str) -> Iterator[Any]:
    yield use.post("network")
    network = use.made["id"]
    yield use.post("subnet", network_id=network, cidr="10.8.0.0/24", ip_version=4)
    body = {"subnet_id": use.made["id"]}
    yield use.put(f"/v2.0/routers/{id}/add_router_interface", body)
    yield use.post("port", network_id=network)
    outside = use.api.list("network", "name=outside")[0]["id"]
    yield use.post("floatingip", floating_network_id=outside, port_id=use.made["id"])


def use_firewall_rule(use: Use, id: str) -> Iterator[Any]:
    yield use.post("firewall_policy", firewall_rules=[id])
    yield from use_firewall_policy(use, use.made.get("id", ""))


def use_firewall_policy(use: Use, id: str) -> Iterator[Any]:
    yield use.post(
        "firewall_group", ports=[use.world.others["behind"]], ingress_firewall_policy_id=id
    )


def use_local_ip(use: Use, id: str) -> Iterator[Any]:
    yield use.post("port_association", id, fixed_port_id=use.world.others["behind"])


def use_policy(use: Use, id: str) -> Iterator[Any]:
    yield use.post("network", qos_policy_id=id)
    yield use.post("network", project="green", qos_policy_id=id)
    yield use.post("network")
    yield use.made["qos_policy_id"]


def use_policy_rule(use: Use, id: str) -> Iterator[Any]:
    """A port that is held to it."""
    (kind,) = [kind for kind in RULES if use.api.store.get(kind, id)]
    policy = use.api.store.read(kind)[id]["policy_id"]
    yield use.post("port", network_id=use.world.id("network"), qos_policy_id=policy)


RULES = ("bandwidth_limit_rule", "packet_rate_limit_rule", "dscp_marking_rule")


def use_minimum(use: Use, id: str) -> Iterator[Any]:
    """A port on a wire, which is promised it."""
    policy = use.api.store.read("minimum_bandwidth_rule")[id]["policy_id"]
    wired = use.world.others["second_outside"]
    yield use.post("port", network_id=wired, qos_policy_id=policy)


def use_label(use: Use, id: str) -> Iterator[Any]:
    """Another project has a router, too."""
    outside = use.api.list("network", "name=outside")[0]["id"]
    yield use.post("router", project="green", external_gateway_info={"network_id": outside})
    rule = {"direction": "egress", "source_ip_prefix": "10.1.0.0/24"}
    yield use.post("metering_label_rule", metering_label_id=id, **rule)


USES: dict[str, Callable[[Use, str], Iterator[Any]]] = {
    "network": use_network,
    "network_segment_range": use_range,
    "subnet": use_subnet,
    "subnetpool": use_pool,
    "address_scope": use_scope,
    "security_group": use_group,
    "address_group": use_address_group,
    "default_security_group_rule": use_default_rule,
    "security_groups_default_statefulness": use_setting,
    "flavor": use_flavor,
    "service_profile": use_profile,
    "router": use_router,
    "firewall_rule": use_firewall_rule,
    "firewall_policy": use_firewall_policy,
    "trunk": use_trunk,
    "policy": use_policy,
    **dict.fromkeys(RULES, use_policy_rule),
    "minimum_bandwidth_rule": use_minimum,
    "local_ip": use_local_ip,
    "metering_label": use_label,
}


def extra(world: World) -> None:
    """What values below refer to."""
    api = world.api
    for project in ("red", "green", "blue"):  # each gets its default groups when it first looks
        for kind in ("security_group", "firewall_group"):
            api.request("GET", api.kinds[kind].path, X_Project_Id=project)
    world.others["behind"] = world.new["firewall_group"][1]["ports"][0]
    network, group = world.id("network"), world.id("security_group")
    api.create("port", network_id=network, security_groups=[group])
    (subnet,) = api.list("subnet", f"network_id={network}&ip_version=4")
    both = [{"subnet_id": subnet["id"], "ip_address": f"10.1.0.{n}"} for n in (201, 202)]
    world.others["two"] = api.create("port", network_id=network, fixed_ips=both)["id"]
    world.others["other_network"] = api.create("network", name="other")["id"]
    outside = api.list("network", "name=outside")[0]["id"]
    more = {"network_id": outside, "ip_version": 4, "cidr": "198.51.100.0/24"}
    world.others["second_public"] = api.create("subnet", **more)["id"]
    wire = {"provider:network_type": "flat", "provider:physical_network": "uplink2"}
    second = api.create("network", **{"router:external": True, **wire})["id"]
    world.others["second_outside"] = second
    api.create("subnet", network_id=second, ip_version=4, cidr="192.0.2.0/24")
    world.others["label"] = world.other("metering_label", name="another")
    world.others["second_router"] = api.create("router")["id"]
    world.others["second_tap"] = world.other("tap_service", port_id=world.others["two"])
    world.others["default_group"] = api.list("security_group", "name=default")[0]["id"]
