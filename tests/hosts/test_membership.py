# SPDX-License-Identifier: Apache-2.0

"""Who is a host and who only knocked, who is waited for, who is forgotten, and whose host it is."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tenantry.controller import runtime
from tenantry.controller.api.tenantry import membership
from tenantry.controller.cli import features
from tenantry.controller.serve import Controller
from tenantry.controller.service import start_gate
from tests.farm import CONTROLLER, Farm, farm, machines
from tests.lab import eventually
from tests.openvswitch import SCHEMA

SOON = 0.5  # seconds, instead of the ten that hosts have to come back after a start


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (start_gate, membership):
        monkeypatch.setattr(module, "START_SECONDS", SOON)


def agents(net: Farm) -> dict[str, Any]:
    found = net.api("GET", "/v2.0/agents?agent_type=Open%20vSwitch%20agent")["agents"]
    return {each["host"]: each for each in found}


def restart(net: Farm, store: str = "") -> None:
    """The controller alone, perhaps with another database; nobody need come."""
    net.stop_controller()
    file = net._file
    if store:
        lines = file.read_text().splitlines()
        file = file.with_name(f"{store}.conf")
        url = f"url = sqlite:///{file.with_suffix('.db')}"
        file.write_text("\n".join(url if line.startswith("url =") else line for line in lines))
    net.controller = Controller(features.load([str(file)]))
    net.stopped = False


@contextmanager
def knocking(name: str) -> Iterator[None]:
    """Somebody who speaks JSON-RPC, says a name, and has no switch."""
    with socket.create_connection((CONTROLLER, 6640)) as stream:

        def answer() -> None:
            decoder, text = json.JSONDecoder(), ""
            while data := stream.recv(65536):
                text += data.decode()
                while text:
                    try:
                        asked, end = decoder.raw_decode(text)
                    except ValueError:
                        break
                    text = text[end:]
                    said = {"external_ids": ["map", [["hostname", name]]], "next_cfg": 1}
                    if asked["method"] == "get_schema":
                        own = asked["params"][0] == "Open_vSwitch"
                        result: Any = json.loads(Path(SCHEMA).read_text()) if own else None
                    elif asked["method"] == "monitor":
                        result = {"Open_vSwitch": {str(UUID(int=1)): {"new": said}}}
                    elif asked["method"] == "lock":
                        result = {"locked": True}
                    else:
                        result = [
                            {"rows": [said] if each.get("table") == "Open_vSwitch" else []}
                            for each in asked["params"][1:]
                        ]
                    error = None if result else "unknown database"
                    reply = {"id": asked["id"], "result": result, "error": error}
                    stream.sendall(json.dumps(reply).encode())

        answering = runtime.spawn(answer)
        try:
            yield
        finally:
            answering.kill()


def test_who_only_knocks_is_no_host(own_netns: None, tmp_path: Path) -> None:
    with machines(1) as started, farm(tmp_path, started) as net:
        with knocking("stranger"):
            assert eventually(lambda: net.controller.hosts.of("stranger") is not None)
            runtime.sleep(0.2)
        assert eventually(lambda: net.controller.hosts.of("stranger") is None)
        assert set(agents(net)) == {"host1"}
        assert [each["name"] for each in net.api("GET", "/tenantry/v1/hosts")] == ["host1"]
        restart(net)
        assert "joined:stranger" not in net.controller.inventory.waiting_for()


def test_who_was_not_back_after_a_start_is_not_waited_for_again(
    own_netns: None, tmp_path: Path
) -> None:
    with machines(2) as started, farm(tmp_path, started) as net:
        one, two = started
        two.cut("mgmt")
        for waited_for in (True, False):
            restart(net)
            assert ("joined:host2" in net.controller.inventory.waiting_for()) == waited_for
            net.until(lambda: net._dpid(one) in net.controller.progress.reconcilers)
            assert eventually(
                lambda: agents(net)["host2"]["configurations"].get("awaited") is False
            )
        flows = net.flows_on(two)
        two.cut("mgmt", mend=True)
        net.until(lambda: net._dpid(two) in net.controller.progress.reconcilers)
        net.settle()
        assert "awaited" not in agents(net)["host2"]["configurations"]
        assert net.flows_on(two) == flows
        two.cut("mgmt")
        restart(net)
        assert "joined:host2" in net.controller.inventory.waiting_for()


def test_an_agent_that_is_deleted_is_forgotten_or_comes_again(
    own_netns: None, tmp_path: Path
) -> None:
    """As in Neutron: one that is here reports again."""
    with machines(2) as started, farm(tmp_path, started) as net:
        one, two = started
        assert eventually(lambda: set(agents(net)) == {"host1", "host2"})
        before = agents(net)
        net.api("DELETE", f"/v2.0/agents/{before['host1']['id']}")
        assert eventually(lambda: set(agents(net)) == {"host1", "host2"})
        assert agents(net)["host1"]["id"] != before["host1"]["id"]
        net.verify()
        two.cut("mgmt")
        two.vsctl("del-manager")
        database = net.controller.hosts.of("host2")
        assert database is not None and database.replica is not None
        database.replica.close()
        assert eventually(lambda: not agents(net)["host2"]["alive"])
        net.api("DELETE", f"/v2.0/agents/{before['host2']['id']}")
        assert net.controller.hosts.of("host2") is None
        net.until(lambda: net._dpid(two) is None)
        restart(net)
        assert "joined:host2" not in net.controller.inventory.waiting_for()
        assert net._dpid(one) or eventually(lambda: net._dpid(one) is not None)


def test_an_empty_database_by_mistake_takes_nothing_from_any_host(
    own_netns: None, tmp_path: Path
) -> None:
    """Whether a switch or its database comes first; until each host is adopted."""
    with machines(2) as started, farm(tmp_path, started) as net:
        network = net.network("10.0.0.0/24")
        ports = [net.port(network) for _ in started]
        guests = [net.plug(machine, port) for machine, port in zip(started, ports, strict=True)]
        address = ports[1]["fixed_ips"][0]["ip_address"]
        assert guests[0].pings(address, 3)
        net.settle()
        before = [net.flows_on(machine) for machine in started]
        for machine in started:  # their switches are back at once, their databases later
            machine.vsctl("--no-wait", "set", "manager", ".", "max_backoff=1000")
        restart(net, "empty")
        assert eventually(lambda: len(net.controller.inventory.left_alone) == 2)
        assert eventually(lambda: len(net.controller.progress.connections) == 2)
        runtime.sleep(2 * SOON)
        assert not net.controller.progress.reconcilers
        assert [net.flows_on(machine) for machine in started] == before
        assert agents(net) == {}
        assert guests[0].pings(address, 3)

        net.api("POST", "/tenantry/v1/hosts/host1/adopt")
        net.until(lambda: net._dpid(started[0]) in net.controller.progress.reconcilers)
        net.settle()
        assert set(agents(net)) == {"host1"}
        assert net.flows_on(started[0]) != before[0]
        assert net.flows_on(started[1]) == before[1]

        restart(net)  # with the right one
        net.until(lambda: net._dpid(started[1]) in net.controller.progress.reconcilers)
        assert eventually(lambda: len(net.controller.inventory.left_alone) == 1)
        net.api("POST", "/tenantry/v1/hosts/host1/adopt")
        net.until(lambda: net._dpid(started[0]) in net.controller.progress.reconcilers)
        net.settle()
        assert guests[0].pings(address, 3)
        net.verify()
