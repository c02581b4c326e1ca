# SPDX-License-Identifier: Apache-2.0

"""People name things: flows are found by the names of what they are for."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.api.test_every_attribute import TEXTS, says_python
from tests.lab import Lab, Refused, lab
from tests.openvswitch import OpenVSwitch


@pytest.fixture
def net(dummy_ovs: OpenVSwitch, tmp_path: Path) -> Iterator[Lab]:
    with lab(dummy_ovs, tmp_path) as running:
        yield running


def flows(net: Lab, query: str) -> list[Any]:
    found: list[Any] = net.api("GET", f"/tenantry/v1/flows?{query}")
    return found


def refusal(net: Lab, query: str) -> str:
    with pytest.raises(Refused) as refused:
        flows(net, query)
    assert refused.value.status in (400, 404)
    return str(refused.value.body["NeutronError"]["message"])


def test_flows_are_found_by_name(net: Lab) -> None:
    network = net.network("10.0.0.0/24", name="blue")
    port, other = (net.port(network, name=name) for name in ("web", "idle"))
    net.attach(port)
    net.settle()
    by_id = flows(net, f"object={port['id']}")
    assert by_id and flows(net, "object=web") == by_id
    assert {flow["object"] for flow in by_id} >= {f"port {port['id']}"}
    assert flows(net, f"object=port {port['id'][:8]}") and flows(net, "object=blue")
    assert flows(net, "object=idle") == [] == flows(net, f"object={other['id']}")
    assert {flow["app"] for flow in flows(net, "app=l2&object=web")} == {"l2"}


def test_names_that_there_are_not(net: Lab) -> None:
    net.port(net.network(name="blue"), name="webserver")
    assert refusal(net, "object=websrever").endswith("did you mean webserver?")
    assert refusal(net, "object=zzz") == (
        "nothing has the name or id zzz; there are blue, webserver."
    )
    assert ", l2, " in refusal(net, "app=l3")
    assert "known: br-int" in refusal(net, "switch=br-ext")
    assert "there is no parameter objekt; known: switch, app, object" in refusal(net, "objekt=a")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("seconds=soon", "seconds must be a number, not soon"),
        ("seconds=nan", "seconds must be a number"),
        ("revision=1e999", "revision must be a number"),
        ("port=nowhere", "there is no port nowhere"),
        ("por=t", "known: port, revision, seconds"),
    ],
)
def test_waiting_for_nothing(net: Lab, query: str, message: str) -> None:
    with pytest.raises(Refused) as refused:
        net.api("GET", f"/tenantry/v1/wait?{query}")
    assert message in refused.value.body["NeutronError"]["message"]


def test_no_query_is_an_internal_error(net: Lab) -> None:
    names = {
        "status": (),
        "flows": ("switch", "app", "object"),
        "diff": ("switch",),
        "counters": ("switch",),
        "rules": ("unused",),
        "routers": (),
        "engine": (),
        "network-log": (),
        "hosts": (),
        "wait": ("port", "seconds=0&revision"),
    }
    for path, some in names.items():
        for name in (*some, "colour"):
            for text in TEXTS:
                raw = quote(text.encode("utf-8", "surrogatepass"))
                try:
                    net.api("GET", f"/tenantry/v1/{path}?{name}={raw}")
                except Refused as refused:
                    assert refused.status in (400, 404), (path, name, text, refused)
                    assert not says_python(refused.body), refused
