# SPDX-License-Identifier: Apache-2.0

"""Hosts as Neutron's agents, and which of them does what."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from neutron_lib.exceptions import InvalidInput
from neutron_lib.exceptions.agent import AgentNotFoundByTypeHost

from tenantry.apps import APPS
from tenantry.apps.provider import resources as provider
from tenantry.controller.api import application as neutron
from tenantry.controller.api import auth
from tenantry.controller.api.core import agent, scheduling
from tenantry.controller.feature.app import stored_records
from tenantry.controller.model import Binding, Change, Interface, Model, Switch
from tenantry.controller.store import Commit
from tests.api.conftest import Api, caller, path
from tests.api.openstack import CLIENT, Client, served
from tests.conftest import need

RECORDS = stored_records(APPS)

HOSTS = {1: "host1", 2: "host2", 3: "host3"}
"""Each with one switch, by datapath id."""


class Hosts:
    """An API with a model behind it, as a running controller has, but for switches."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.model = Model()
        self.alive: set[str] = set()
        api.store.subscribe(self._committed)
        self.serve(auth.none("default"))
        self.apply(*(Change(Switch, id, Switch(id, "br", host)) for id, host in HOSTS.items()))

    def serve(self, authenticate: auth.Authenticator) -> None:
        self.api.app = neutron.application(
            self.api.store,
            self.api.kinds,
            authenticate,
            computed=self.observed,
            routes=scheduling.routes(self.api.store, self.model, self.api.kinds, self.observed),
        )

    def tenant(self, project: str) -> None:
        """From here on, who asks is no admin."""
        tenant = caller(project)
        self.serve(lambda request: tenant)

    def observed(self, kind: str, body: dict[str, Any]) -> dict[str, Any]:
        if kind != "agent":
            return {"status": "BUILD"} if kind == "network" else {}
        return {
            "alive": body["host"] in self.alive,
            "heartbeat_timestamp": "2026-01-02T03:04:05Z",
            "started_at": "2026-01-01T00:00:00Z",
        }

    def apply(self, *changes: Change) -> None:
        self.model.apply(changes)

    def _committed(self, commit: Commit) -> None:
        for change in commit.changes:
            if change.kind in RECORDS:
                record, parse = RECORDS[change.kind]
                after = None if change.after is None else parse(change.after)
                self.apply(Change(record, change.id, after))

    def join(self, host: str, zone: str = "rack1", alive: bool = True, **told: Any) -> str:
        """The id of the host's agent."""
        configurations = {"tunnel_address": None, **told}
        agent.report(
            self.api.store,
            self.api.kinds,
            host=host,
            availability_zone=zone,
            configurations=configurations,
        )
        if alive:
            self.alive.add(host)
        (found,) = self.api.list("agent", f"host={host}&agent_type=Open%20vSwitch%20agent")
        return str(found["id"])

    def l3_agent(self, host: str) -> str:
        """The id of a host's L3 agent."""
        (found,) = self.api.list("agent", f"host={host}&agent_type=L3%20agent")
        return str(found["id"])

    def plug(self, port: dict[str, Any], dpid: int) -> None:
        where = Binding(
            port["id"], port["network_id"], f"{port['network_id']}/0", dpid, "tap", HOSTS[dpid], 1
        )
        self.apply(Change(Binding, port["id"], where))

    def wire(self, dpid: int) -> None:
        """The switch reaches physnet1."""
        where = Interface((dpid, "eth1"), dpid, "eth1", 9, HOSTS[dpid], "", "physnet1")
        self.apply(Change(Interface, where.id, where))

    def get(self, *below: str) -> Any:
        status, answer = self.api.request("GET", "/".join(("/v2.0", *below)))
        assert status == 200, answer
        (items,) = answer.values()
        return items


@pytest.fixture
def hosts(api: Api) -> Hosts:
    return Hosts(api)


@pytest.fixture
def router(hosts: Hosts) -> str:
    """The id of a router whose way outside is by host2's wire."""
    outside = hosts.api.create(
        "network",
        **{
            "name": "outside",
            "router:external": True,
            "provider:network_type": "flat",
            "provider:physical_network": "physnet1",
        },
    )
    hosts.api.create("subnet", network_id=outside["id"], cidr="203.0.113.0/24", ip_version=4)
    hosts.wire(2)
    gateway = {"network_id": outside["id"]}
    return str(hosts.api.create("router", name="edge", external_gateway_info=gateway)["id"])


# --- agents --------------------------------------------------------------------------------------


def test_a_host_that_reports_is_an_agent(hosts: Hosts) -> None:
    id = hosts.join(
        "host1",
        tunnel_address="192.0.2.1",
        bridge_mappings={"physnet1": "eth1"},
        gateway_priority=0,
    )
    shown = hosts.api.show("agent", id)
    assert shown.pop("created_at").endswith("Z")
    assert shown == {
        "id": id,
        "project_id": "",
        "tenant_id": "",
        "host": "host1",
        "agent_type": "Open vSwitch agent",
        "binary": "tenantry",
        "topic": "N/A",
        "availability_zone": "rack1",
        "admin_state_up": True,
        "description": "",
        "configurations": {
            "tunnel_address": "192.0.2.1",
            "bridge_mappings": {"physnet1": "eth1"},
            "gateway_priority": 0,
        },
        "alive": True,
        "heartbeat_timestamp": "2026-01-02T03:04:05Z",
        "started_at": "2026-01-01T00:00:00Z",
    }


def test_only_news_are_written_and_what_an_admin_said_stays(hosts: Hosts) -> None:
    id = hosts.join("host1", tunnel_address="192.0.2.1")
    hosts.api.update("agent", id, admin_state_up=False, description="being mended")
    head = hosts.api.store.head
    assert hosts.join("host1", tunnel_address="192.0.2.1") == id
    assert hosts.api.store.head == head

    assert hosts.join("host1", "rack2", tunnel_address="2001:db8::1") == id
    (commit,) = hosts.api.store.history(head)
    assert commit.actor == "tenantry"
    assert len(commit.changes) == 2, "its L3 agent is in another zone now, too"
    after = hosts.api.show("agent", id)
    assert (after["admin_state_up"], after["description"]) == (False, "being mended")
    assert after["availability_zone"] == "rack2"
    assert after["configurations"] == {"tunnel_address": "2001:db8::1"}


@pytest.mark.parametrize(
    "told",
    [
        {"tunnel_address": "anywhere"},
        {"tunnel_address": "192.0.2.1/24"},
        {"tunnel_address": 7},
        {"gateway_priority": "high"},
        {"gateway_priority": True},
    ],
)
def test_what_a_host_says_of_itself_may_be_nonsense(hosts: Hosts, told: dict[str, Any]) -> None:
    head = hosts.api.store.head
    with pytest.raises(InvalidInput, match="host1"):
        hosts.join("host1", **told)
    assert hosts.api.store.head == head


def test_only_an_admins_words_can_be_changed(hosts: Hosts) -> None:
    id = hosts.join("host1")
    refused, body = hosts.api.refused, {"agent": {"admin_state_up": "perhaps"}}
    refused(400, "InvalidInput", "PUT", path("agent", id), body)
    for name, value in (("host", "host2"), ("alive", True), ("configurations", {})):
        refused(400, "HTTPBadRequest", "PUT", path("agent", id), {"agent": {name: value}})
    refused(400, "HTTPBadRequest", "POST", path("agent"), {"agent": {"host": "host2"}})
    message = refused(400, "BadRequest", "POST", path("agent"), {"agent": {}})
    assert "tenantry host invite" in message
    message = refused(404, "AgentNotFound", "GET", path("agent", "host1"))
    assert message == "Agent host1 could not be found."


def test_agents_are_found_by_what_they_are(hosts: Hosts) -> None:
    hosts.join("host1")
    hosts.join("host2", "rack2", alive=False)
    for query, found in (
        ("host=host1", ["host1"] * 2),
        ("alive=True", ["host1"] * 2),
        ("alive=false", ["host2"] * 2),
        ("availability_zone=rack2", ["host2"] * 2),
        ("agent_type=Open%20vSwitch%20agent", ["host1", "host2"]),
        ("agent_type=L3%20agent", ["host1", "host2"]),
        ("agent_type=DHCP%20agent", []),
        ("binary=tenantry&sort_key=host&sort_dir=desc", ["host2"] * 2 + ["host1"] * 2),
        ("sort_key=alive&sort_dir=asc", ["host2"] * 2 + ["host1"] * 2),
        ("admin_state_up=false", []),
    ):
        assert [each["host"] for each in hosts.api.list("agent", query)] == found, query


def test_an_agent_can_be_deleted_and_comes_back_if_its_host_does(hosts: Hosts) -> None:
    id = hosts.join("host1")
    hosts.api.delete("agent", id)
    assert hosts.api.list("agent") == [], "its L3 agent goes along"
    hosts.join("host1")
    hosts.api.delete("agent", hosts.l3_agent("host1"))
    assert hosts.api.list("agent") == []
    assert hosts.join("host1") != id
    agent.forget(hosts.api.store, "host1")
    assert hosts.api.list("agent") == []
    with pytest.raises(AgentNotFoundByTypeHost, match="host1"):
        agent.forget(hosts.api.store, "host1")


def test_agents_are_no_tenants_business(hosts: Hosts, router: str, network: str) -> None:
    id = hosts.join("host1")
    hosts.tenant("default")
    refused = hosts.api.refused
    assert hosts.api.list("agent") == []
    refused(404, "AgentNotFound", "GET", path("agent", id))
    refused(404, "AgentNotFound", "PUT", path("agent", id), {"agent": {"description": "mine"}})
    refused(404, "AgentNotFound", "DELETE", path("agent", id))
    for url in (
        path("router", router, "l3-agents"),
        path("agent", id, "l3-routers"),
    ):
        refused(403, "PolicyNotAuthorized", "GET", url)
    body = {"router_id": router}
    refused(403, "PolicyNotAuthorized", "POST", path("agent", id, "l3-routers"), body)
    refused(403, "PolicyNotAuthorized", "DELETE", path("agent", id, "l3-routers", router))
    assert {zone["name"] for zone in hosts.get("availability_zones")} == {"rack1"}


def test_without_a_controller_nobody_is_alive(api: Api) -> None:
    told: dict[str, Any] = {"availability_zone": "rack1", "configurations": {}}
    agent.report(api.store, api.kinds, host="host1", **told)
    shown, _ = api.list("agent", "alive=False")
    assert (shown["alive"], shown["heartbeat_timestamp"], shown["started_at"]) == (
        False,
        None,
        None,
    )
    assert api.list("agent", "alive=True") == []


def test_extensions_are_announced(api: Api) -> None:
    """Nobody can move DHCP from host to host, nor is there a Placement to tell."""
    for alias, expected in (
        *(("agent", 200), ("availability_zone", 200), ("l3_agent_scheduler", 200)),
        *(("dhcp_agent_scheduler", 404), ("agent-resources-synced", 404)),
    ):
        status, _ = api.request("GET", f"/v2.0/extensions/{alias}")
        assert status == expected, alias


# --- who does what -------------------------------------------------------------------------------


def test_a_routers_agents_are_the_hosts_of_its_gateways(hosts: Hosts, router: str) -> None:
    joined = hosts.join("host1"), hosts.join("host2")
    first, second = hosts.l3_agent("host1"), hosts.l3_agent("host2")
    (hosting,) = hosts.get("routers", router, "l3-agents")
    assert (hosting["id"], hosting["ha_state"], hosting["alive"]) == (second, "active", True)
    assert hosting == {**hosts.api.show("agent", second), "ha_state": "active"}
    (hosted,) = hosts.get("agents", second, "l3-routers")
    assert hosted == hosts.api.show("router", router)
    for other in (first, *joined):
        assert hosts.get("agents", other, "l3-routers") == []


def test_the_first_gateway_that_is_alive_is_active(
    hosts: Hosts, router: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduling, "gateways", lambda view, router_id: (3, 2, 1, 9))
    hosts.apply(Change(Switch, 9, Switch(9, "br-too", "host3")))
    for host in ("host1", "host2", "host3"):
        hosts.join(host)

    def states() -> list[tuple[str, str]]:
        found = hosts.get("routers", router, "l3-agents")
        return [(each["host"], each["ha_state"]) for each in found]

    active, standby = "active", "standby"
    assert states() == [("host3", active), ("host2", standby), ("host1", standby)]
    hosts.alive.discard("host3")
    assert states() == [("host3", standby), ("host2", active), ("host1", standby)]
    hosts.alive.clear()
    assert {state for _, state in states()} == {standby}
    agent.forget(hosts.api.store, "host3")
    assert [host for host, _ in states()] == ["host2", "host1"]


def assign(hosts: Hosts, host: str, router: str, method: str = "POST", **wrong: str) -> Any:
    """Put a router on a host, or take it off there; refused with an error, if one is given."""
    url = path("agent", hosts.l3_agent(host), "l3-routers")
    body = {"router_id": router} if method == "POST" else None
    url = url if body else f"{url}/{router}"
    if wrong:
        status = {"RouterSchedulingFailed": 409, "InvalidL3Agent": 404}[wrong["error"]]
        return hosts.api.refused(status, wrong["error"], method, url, body)
    status, answer = hosts.api.request(method, url, body)
    assert (status, answer) == ((201, {}) if body else (204, None))
    return [agent["host"] for agent in hosts.get("routers", router, "l3-agents")]


@pytest.fixture
def reached(hosts: Hosts, router: str) -> Hosts:
    """Three hosts with tunnels, that all reach the outside."""
    for dpid, host in HOSTS.items():
        there = Switch(dpid, "br", host, integration=True)
        hosts.apply(Change(Switch, dpid, there))
        hosts.wire(dpid)
        hosts.join(host, tunnel_address=f"192.0.2.{dpid}")
    return hosts


def test_a_router_is_put_where_somebody_wants_it(reached: Hosts, router: str) -> None:
    chosen = [agent["host"] for agent in reached.get("routers", router, "l3-agents")]
    assert sorted(chosen) == sorted(HOSTS.values())
    first, last = chosen[0], chosen[-1]
    assert assign(reached, last, router) == [last, *chosen[:-1]]
    agents = reached.get("routers", router, "l3-agents")
    assert [agent["ha_state"] for agent in agents] == ["active", "standby", "standby"]
    (hosted,) = reached.get("agents", reached.l3_agent(last), "l3-routers")
    assert hosted["id"] == router
    assert assign(reached, last, router) == [last, *chosen[:-1]], "it is there already"
    assert assign(reached, first, router) == [first, last, chosen[1]]
    assert assign(reached, first, router, "DELETE") == [last, chosen[1]]
    assert reached.get("agents", reached.l3_agent(first), "l3-routers") == []
    assert assign(reached, first, router, "DELETE") == [last, chosen[1]]
    shown = reached.api.show("router", router)
    assert not shown.keys() & {scheduling.PREFERRED, scheduling.EXCLUDED}
    # Where it was put lasts as long as what it led to.
    gateway = shown["external_gateway_info"]
    for info in ({}, {"network_id": gateway["network_id"]}):
        reached.api.update("router", router, external_gateway_info=info)
    assert [a["host"] for a in reached.get("routers", router, "l3-agents")] == chosen


def test_one_that_is_not_ha_is_in_one_place(reached: Hosts, router: str) -> None:
    reached.api.update("router", router, admin_state_up=False, ha=False)
    reached.api.update("router", router, admin_state_up=True)
    (agent,) = reached.get("routers", router, "l3-agents")
    assert agent["ha_state"] is None
    for host in HOSTS.values():
        assert assign(reached, host, router) == [host]
    (other,) = assign(reached, "host3", router, "DELETE")
    assert other != "host3"


def test_where_a_router_cannot_be_put(reached: Hosts, router: str) -> None:
    reached.apply(Change(Interface, (1, "eth1"), None))
    assert "host1" in assign(reached, "host1", router, error="RouterSchedulingFailed")
    reached.api.update("agent", reached.l3_agent("host2"), admin_state_up=False)
    assert assign(reached, "host3", router) == ["host3"]
    assign(reached, "host2", router, error="InvalidL3Agent")
    openvswitch = reached.join("host3")
    url = path("agent", openvswitch, "l3-routers")
    reached.api.refused(404, "InvalidL3Agent", "POST", url, {"router_id": router})
    url = path("agent", reached.l3_agent("host3"), "l3-routers")
    for body in ({}, [], {"router_id": 5}, {"router_id": None}):
        reached.api.refused(400, "HTTPBadRequest", "POST", url, body)
    reached.api.refused(404, "RouterNotFound", "POST", url, {"router_id": "nobody"})
    reached.api.refused(404, "RouterNotFound", "DELETE", f"{url}/nobody")


def test_a_router_that_leads_nowhere_yet_is_put_somewhere(reached: Hosts) -> None:
    router = reached.api.create("router")["id"]
    assert assign(reached, "host2", router) == ["host2"]
    hosted = reached.get("agents", reached.l3_agent("host2"), "l3-routers")
    assert router in [each["id"] for each in hosted]
    (outside,) = reached.api.list("network", "router:external=true")
    gateway = {"network_id": outside["id"]}
    reached.api.update("router", router, external_gateway_info=gateway)
    first, *_ = reached.get("routers", router, "l3-agents")
    assert (first["host"], first["ha_state"]) == ("host2", "active")


def test_either_agent_of_a_host_can_be_switched_off(reached: Hosts, router: str) -> None:
    for id in (reached.join("host1"), reached.l3_agent("host2")):
        reached.api.update("agent", id, admin_state_up=False)
    (left,) = reached.get("routers", router, "l3-agents")
    assert left["host"] == "host3"


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_is_unknown_is_not_found(hosts: Hosts, method: str) -> None:
    for kind, error, name, methods in (
        ("router", "RouterNotFound", "l3-agents", ("GET",)),
        ("agent", "AgentNotFound", "l3-routers", ("GET", "POST")),
    ):
        if method in methods:
            body = {"router_id": "nobody"} if method == "POST" else None
            hosts.api.refused(404, error, method, path(kind, "nobody", name), body)


def test_without_routing_there_is_no_scheduling_of_it(make_api: Callable[..., Api]) -> None:
    hosts = Hosts(make_api(provider.extension()))
    id = hosts.join("host1")
    hosts.api.refused(404, "HTTPNotFound", "GET", path("agent", id, "l3-routers"))


# --- availability zones --------------------------------------------------------------------------


def test_zones_are_where_hosts_are(hosts: Hosts) -> None:
    hosts.join("host1")
    disabled = hosts.join("host2", "rack2")
    hosts.join("host3", "rack3", alive=False)
    hosts.join("host4", "rack3", alive=False)
    hosts.join("host5", "")
    hosts.api.update("agent", disabled, admin_state_up=False)
    zones = {(z["name"], z["resource"]): z["state"] for z in hosts.get("availability_zones")}
    assert zones == {
        ("rack1", "network"): "available",
        ("rack1", "router"): "available",
        ("rack2", "network"): "available",
        ("rack2", "router"): "unavailable",
        ("rack3", "network"): "unavailable",
        ("rack3", "router"): "unavailable",
    }
    hosts.alive.add("host4")
    chosen = hosts.get("availability_zones?resource=router&state=available&fields=name")
    assert chosen == [{"name": "rack1"}, {"name": "rack3"}]
    hosts.api.refused(400, "HTTPBadRequest", "GET", "/v2.0/availability_zones?colour=red")


def test_a_router_asks_for_zones_that_there_are(hosts: Hosts) -> None:
    def asked(*zones: str) -> dict[str, Any]:
        return {"router": {"name": "edge", "availability_zone_hints": list(zones)}}

    refused, error = hosts.api.refused, "AvailabilityZoneNotFound"
    assert "rack1" in refused(404, error, "POST", path("router"), asked("rack1"))
    hosts.join("host1", alive=False)
    hosts.join("host2", "")
    assert "rack2" in refused(404, error, "POST", path("router"), asked("rack1", "rack2"))
    refused(404, error, "POST", path("router"), asked(""))
    router = hosts.api.create("router", availability_zone_hints=["rack1"])
    assert router["availability_zone_hints"] == ["rack1"]
    assert hosts.api.create("router")["availability_zone_hints"] == []
    agent.forget(hosts.api.store, "host1")
    hosts.api.update("router", router["id"], name="stays")


# --- the unmodified client -----------------------------------------------------------------------


@pytest.fixture
def client(hosts: Hosts, tmp_path: Path) -> Iterator[Client]:
    """Of an API that knows hosts."""
    need(CLIENT.exists(), "python-openstackclient")
    with served(hosts.api.app, tmp_path) as client:
        yield client


def test_the_openstack_client(client: Client, hosts: Hosts, router: str) -> None:
    first = hosts.join("host1", tunnel_address="192.0.2.1")
    hosts.join("host2", "rack2", alive=False)
    l3 = hosts.l3_agent("host2")
    agents, one, shown, gateways, routers, zones, placed = client.run(
        "network agent list --agent-type open-vswitch --sort-column Host -f json",
        "network agent list --agent-type l3 --host host2 -f json",
        f"network agent show {first} -f json",
        "network agent list --router edge --long -f json",
        f"router list --agent {l3} -f json",
        "availability zone list --network --long -f json",
        "router create --availability-zone-hint rack1 placed -f json",
    )
    assert [(a["Host"], a["Availability Zone"], a["Alive"], a["State"]) for a in agents] == [
        ("host1", "rack1", True, True),
        ("host2", "rack2", False, True),
    ]
    assert [each["ID"] for each in one] == [l3]
    assert shown["configuration"] == {"tunnel_address": "192.0.2.1"}
    assert (shown["binary"], shown["alive"]) == ("tenantry", True)
    assert shown["last_heartbeat_at"] == "2026-01-02T03:04:05Z"
    assert [(each["ID"], each["HA State"]) for each in gateways] == [(l3, "standby")]
    assert [each["Name"] for each in routers] == ["edge"]
    assert {(z["Zone Name"], z["Zone Resource"], z["Zone Status"]) for z in zones} == {
        *(("rack1", resource, "available") for resource in ("network", "router")),
        *(("rack2", resource, "not available") for resource in ("network", "router")),
    }
    assert placed["availability_zone_hints"] == ["rack1"]

    added, removed, after, left = client.run(
        f"network agent add router --l3 {l3} placed",
        "network agent list --router placed -f json",
        f"network agent remove router --l3 {l3} edge",
        "network agent list --router edge -f json",
        f"network agent set --disable --description spare {first}",
        f"network agent show {first} -f json",
        f"network agent delete {l3}",
        "network agent list -f json",
    )
    assert [each["ID"] for each in added] == [l3]
    assert removed == []
    assert (after["admin_state_up"], after["description"]) == (False, "spare")
    assert {each["Host"] for each in left} == {"host1"}
