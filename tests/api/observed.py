# SPDX-License-Identifier: Apache-2.0

"""What a change of a resource can be seen by: in the switches, by guests, in the API.

A controller without switches: the model of what an API holds, with every port plugged in; the flows
and interfaces that the apps want; what guests are answered; what other projects get to see.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator
from functools import cached_property, partial
from itertools import count, product
from typing import Any

import dns.message
from webob import Request

from tenantry.apps import APPS
from tenantry.apps.dns.answers import Resolver
from tenantry.apps.metadata.http import Metadata
from tenantry.controller.api import application as neutron
from tenantry.controller.cli import features
from tenantry.controller.engine.engine import Engine
from tenantry.controller.feature.app import stored_records
from tenantry.controller.feature.effects import DnsQuery, PacketIn
from tenantry.controller.feature.ovsdb_rows import InterfaceRow
from tenantry.controller.model import (
    Binding,
    Change,
    Interface,
    Model,
    Network,
    Port,
    Switch,
    View,
)
from tenantry.controller.model.binding import rebind
from tenantry.controller.packets import frames
from tenantry.controller.packets.malformed import Malformed
from tenantry.controller.service.interfaces import plugged
from tests.api.conftest import Api, caller

RECORDS = stored_records(APPS)

HOSTS = {1: "host1", 2: "host2"}
"""Each with a switch of that number."""

WIRES = ("wire", "wire2", "wire3", "uplink", "uplink2")
TUNNELS = ("vxlan", "geneve")
CONF = features.load([])
PARTS = {app.name: app.build(CONF) for app in APPS}
ROWS = {name: parts.rows for name, parts in PARTS.items() if parts.rows}


class Observed:
    """What there is to see of an API's resources, but for one of them itself. Each part is the same
    for the same resources, and computed when it is first looked at."""

    def __init__(self, api: Api, changed: str = "", outcomes: Any = None) -> None:
        self._model = modelled(api)
        self._view = View(self._model)
        self._outcomes = outcomes
        self.close = api.store.close
        self._seen = partial(seen, api, changed)

    @cached_property
    def switches(self) -> Any:
        engine = Engine(self._model, APPS, ROWS)
        for _ in engine.run():
            pass
        assert not engine.failed, engine.failed
        # With their keys: that of a meter says all that it is.
        flows = {switch: sorted(wanted.flows.items()) for switch, wanted in engine.wanted.items()}
        rows = {switch: sorted(map(str, engine.rows(switch))) for switch in HOSTS}
        interfaces = {id: plugged(self._model, str(id)) for id in self._model.all(Binding)}
        return flows, rows, interfaces

    @cached_property
    def guests(self) -> Any:
        return list(answers(self._view))

    @cached_property
    def others(self) -> Any:
        return self._seen(), self._outcomes

    def differs_in(self, other: Observed) -> str:
        """The first part that differs, or nothing."""
        parts = ("switches", "guests", "others")
        return next((p for p in parts if getattr(self, p) != getattr(other, p)), "")


def modelled(api: Api) -> Model:
    """The model, with two switches, on each of which every port may be plugged in."""
    model, ofports = Model(), {switch: count(1) for switch in HOSTS}
    changes = [
        Change(record, id, parse(body))
        for kind, (record, parse) in RECORDS.items()
        if kind in api.kinds  # not every test asks every feature
        for id, body in api.store.read(kind).items()
    ]

    def interface(switch: int, name: str, iface_id: str = "", wire: str = "", **more: Any) -> None:
        number, host = next(ofports[switch]), HOSTS[switch]
        record = Interface((switch, name), switch, name, number, host, iface_id, wire, **more)
        changes.append(Change(Interface, record.id, record))

    for switch, host in HOSTS.items():
        changes.append(Change(Switch, switch, Switch(switch, "br-int", host, integration=True)))
        for wire in WIRES:
            interface(switch, wire, wire=wire)
        for tunnel in TUNNELS:
            interface(switch, f"tn-{tunnel}", tunnel=tunnel)
        for name in ("eth1", "eth2", "eth3"):
            interface(switch, name)
    for id, body in api.store.read("port").items():
        inside = body["device_owner"].startswith(("network:", "trunk:"))
        if not inside and not body["binding:host_id"]:
            interface(1, f"tap{id[-8:]}", iface_id=id)
    model.apply(changes)
    model.apply(rebind(model, changes))
    changes.clear()
    for switch, rows in product(HOSTS, ROWS.values()):  # hosts have made what is wanted there
        for row in rows(View(model), switch):
            if isinstance(row, InterfaceRow) and (switch, row.name) not in model.all(Interface):
                interface(switch, row.name)
    model.apply(changes)
    return model


def answers(view: View) -> Iterator[Any]:
    """What every port is told when it asks for all there is, in order of their keys."""
    dhcp = PARTS["dhcp"].packet_in
    assert dhcp is not None
    resolver, metadata = Resolver(CONF.dns.domain), Metadata(CONF.dns.domain)
    bound = [view.get(Port, id) for s in HOSTS for id in view.ids(Binding, switch=s)]
    for port in sorted((p for p in bound if p is not None), key=lambda p: p.key):
        network = view.get(Network, port.network_id)
        assert network is not None
        for frame in questions(port):
            try:
                packet = PacketIn(1, 0, 1, network.key, port.key, frame)
                yield port.key, [packet.data for packet in dhcp(view, packet)]
            except Malformed:
                yield port.key, "malformed"
        for query in ask_names(port, network):
            answer = resolver.answer(view, port, query)
            yield port.key, "asked on" if isinstance(answer, DnsQuery) else answer[2:]
        for path in ("/openstack/latest/meta_data.json", "/openstack/latest/network_data.json"):
            told = metadata.answer(view, port.id, Request.blank(path)).body
            yield port.key, path, told
        told = metadata.answer(view, port.id, Request.blank("/openstack/latest/user_data")).body
        yield port.key, told


def questions(port: Port) -> Iterator[bytes]:
    """DHCP discover, DHCPv6 solicit and information-request, a router solicitation."""
    everything = bytes(range(1, 255))
    head = b"\1\1\6\0abcd" + bytes(20) + port.mac.to_bytes(6, "big") + bytes(10 + 64 + 128)
    options = b"\x35\1\1" + bytes((55, len(everything))) + everything + b"\xff"
    body = head + b"\x63\x82\x53\x63" + options
    yield frames.udp(frames.Ends(port.mac, (1 << 48) - 1, 4, 0, 0xFFFFFFFF), 68, 67, body)
    client = b"\0\1\0\4\0\3\0\1"
    association = b"\0\3\0\x0cabcd" + bytes(8)
    wanted = b"".join(struct.pack("!H", code) for code in range(20, 80))
    asked = b"\0\6" + struct.pack("!H", len(wanted)) + wanted
    source, servers = 0xFE80 << 112 | 1, 0xFF02 << 112 | 2
    for type in (1, 11):
        message = bytes((type,)) + b"abc" + client + association + asked
        yield frames.udp(frames.Ends(port.mac, 1, 6, source, servers), 546, 547, message)
    yield frames.icmpv6(port.mac, 3, source, servers, b"\x85\0\0\0\0\0\0\0")


NAMES = ("web", "two", "www", "public")


def ask_names(port: Port, network: Network) -> Iterator[bytes]:
    domains = ("blue.example.", "web.example.", "other.example.", CONF.dns.domain)
    for name in NAMES:
        for domain in domains:
            yield dns.message.make_query(f"{name}.{domain}", "A").to_wire()


GRANTEE = "9" * 32
"""The project that the sample's policies give access to: an id, as Keystone has them."""


def seen(api: Api, changed: str) -> Any:
    """What an admin and other projects are shown of Neutron's kinds, but for the resource that has
    changed."""
    found: dict[str, Any] = {}
    for project in ("", "red", "green", "blue", GRANTEE):
        context = caller(project, "member" if project else "admin")
        app = neutron.application(api.store, api.kinds, lambda request, c=context: c)
        for kind in api.kinds.values():
            if kind.internal or kind.parent or kind.service:
                continue
            answer = Request.blank(kind.path).get_response(app).json
            others = (one for one in answer[kind.collection] if one["id"] != changed)
            shown = [_without(one, changed) for one in others]
            own = [
                [one["id"], one.get("status"), one.get("binding:vif_type")]
                for one in answer[kind.collection]
                if one["id"] == changed
            ]
            found[f"{project} {kind.name}"] = canonical([shown, own])
    return found


def _without(whole: dict[str, Any], part: str) -> dict[str, Any]:
    """What a resource shows, but for the one that has changed, if that is a part of it."""
    return {
        name: [one for one in value if not (isinstance(one, dict) and one.get("id") == part)]
        if isinstance(value, list)
        else value
        for name, value in whole.items()
    }


WHEN = ("created_at", "updated_at", "revision_number")
LATER = re.compile(r"00000000-0000-4000-8000-00000001\w{4}")
"""An id that was given after the stage was set."""


def canonical(value: Any) -> Any:
    """The same for lists of the same in another order: they are of ids, mostly; and whichever of
    several new resources was made first."""
    if isinstance(value, str):
        return LATER.sub("new", value)
    if isinstance(value, list):
        return sorted(json.dumps(canonical(one), sort_keys=True) for one in value)
    if isinstance(value, dict):
        return {key: canonical(one) for key, one in value.items() if key not in WHEN}
    return value
