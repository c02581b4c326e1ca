# SPDX-License-Identifier: Apache-2.0

"""Port bindings: the further hosts that a port is to be on, so that a machine can move there live.

A port's active binding is what the port itself says: ``binding:host_id``, ``binding:vnic_type`` and
``binding:profile``. Inactive ones are resources of the internal kind ``port_binding``, one for a
port and a host. Their hosts are in the port's body, too, as ``standby_hosts``: the API does not
show it, the model reads it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from neutron_lib import exceptions
from neutron_lib.api.definitions import portbindings, portbindings_extended
from neutron_lib.constants import ACTIVE, DEVICE_OWNER_NETWORK_PREFIX, INACTIVE
from webob import Request
from webob.exc import HTTPBadRequest

from tenantry.controller.api.access import Access
from tenantry.controller.api.core.port import (
    INTERFACE,
    MAX_HOST_LENGTH,
    InterfaceInUse,
    settle_binding,
)
from tenantry.controller.api.kind import Kinds, ResourceType
from tenantry.controller.api.query import Query
from tenantry.controller.api.wsgi import Answer, Route, read_json
from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import (
    SYSTEM,
    Extension,
    Maker,
    Reader,
    ResourceHooks,
    ResourceSpec,
    changed,
    claimant,
)
from tenantry.controller.store import Body, Claim, Draft, Link, Store

PORT_BINDING = "port_binding"
"""The kind, its claim, and the role in which a port sees its inactive bindings."""

STANDBY_HOSTS = "standby_hosts"
"""The hosts of a port's inactive bindings, sorted. A port that never had any lacks it."""

MIGRATING_TO = "migrating_to"
"""The host, in a port's profile, that its machine is on its way to: Nova's, of the days before
there were inactive bindings, and still."""

_ONE, _ALL = portbindings_extended.RESOURCE_NAME, portbindings_extended.COLLECTION_NAME
_ATTRIBUTES = portbindings_extended.SUB_RESOURCE_ATTRIBUTE_MAP[_ALL]["parameters"]
_STORED = {
    "host": portbindings.HOST_ID,
    "vnic_type": portbindings.VNIC_TYPE,
    "profile": portbindings.PROFILE,
}
_SHOWN = {
    **_STORED,
    "vif_type": portbindings.VIF_TYPE,
    "vif_details": portbindings.VIF_DETAILS,
}
"""What a binding calls attributes that a port has."""


def activate(
    kinds: Mapping[str, Maker], draft: Draft, context: Context, port_body: Body, host: str
) -> Body:
    """The port, which is on ``host`` now: its machine has arrived.

    An inactive binding for the host becomes the active one, and the other way round. If there is
    none, but the profile says that the port is migrating there, it is done so. If neither, nothing
    changes: whoever sees a machine somewhere need not know whether it was to be there.
    """
    ports, binding = kinds["port"], _standby(draft, port_body["id"], host)
    profile = _arrived(port_body[portbindings.PROFILE], host)
    if binding is None:
        if profile == port_body[portbindings.PROFILE]:
            return port_body
        here = {portbindings.HOST_ID: host, portbindings.PROFILE: profile}
        return ports.update(draft, context, port_body, here)
    former = port_body[portbindings.HOST_ID]
    left = {*port_body[STANDBY_HOSTS], former} - {host, ""}
    here = _as_port({**binding, "profile": _arrived(binding["profile"], host)})
    after = ports.update(draft, context, port_body, {**here, STANDBY_HOSTS: sorted(left)})
    if former:  # only now: the port has just let go of what this claims
        vnic_type = port_body[portbindings.VNIC_TYPE]
        swapped = changed(binding, host=former, vnic_type=vnic_type, profile=profile)
        draft.put(PORT_BINDING, swapped)
    return after


def _arrived(profile: Body, host: str) -> Body:
    """A profile, once its port has migrated to ``host``."""
    return {k: value for k, value in profile.items() if (k, value) != (MIGRATING_TO, host)}


def _as_port(binding: Body) -> Body:
    """What a port says while this is its active binding."""
    return {in_port: binding[name] for name, in_port in _STORED.items()}


def _claim(port_id: str, host: str) -> Claim:
    return Claim(PORT_BINDING, port_id, host)


def _standby(reader: Reader, port_id: str, host: str) -> Body | None:
    """A port's inactive binding for a host."""
    return claimant(reader, PORT_BINDING, _claim(port_id, host))


def _settle(body: Body) -> None:
    """Check and complete the profile, as the port would: it is to be the port's."""
    settled = _as_port(body)
    settle_binding(settled)
    body["profile"] = settled[portbindings.PROFILE]


class PortBindingHooks(ResourceHooks):
    """Of inactive bindings."""

    def create(self, draft: Draft, context: Context, body: Body) -> None:
        port = draft.get("port", body["port_id"])
        assert port is not None  # it is the parent
        if port["device_owner"].startswith(DEVICE_OWNER_NETWORK_PREFIX):
            # Neutron wants compute's and Manila's ports. Here people plug machines in themselves.
            raise exceptions.BadRequest(
                resource="port",
                msg=f"Port {port['id']} is the network's own (device_owner {port['device_owner']}):"
                " there is no machine behind it that could move to another host.",
            )
        if port[portbindings.HOST_ID] == body["host"]:
            raise exceptions.PortBindingAlreadyExists(port_id=port["id"], host=body["host"])
        _settle(body)

    def created(self, draft: Draft, body: Body) -> None:
        _note(draft, body["port_id"], add={body["host"]})

    def update(self, draft: Draft, context: Context, before: Body, body: Body) -> None:
        _settle(body)

    def delete(self, draft: Draft, context: Context, body: Body) -> None:
        _note(draft, body["port_id"], remove={body["host"]})

    def claims(self, body: Body) -> Iterable[Claim]:
        yield _claim(body["port_id"], body["host"])
        interface = body["profile"].get("interface_name")
        if interface:  # or else the port might find it taken when it gets there
            yield Claim(INTERFACE, body["host"], str(interface))

    def links(self, body: Body) -> Iterable[Link]:
        yield Link(body["port_id"], PORT_BINDING)

    def taken(self, claim: Claim, body: Body) -> Exception | None:
        error: Exception
        if claim.kind == PORT_BINDING:
            error = exceptions.PortBindingAlreadyExists(port_id=body["port_id"], host=body["host"])
        else:
            error = InterfaceInUse(host=claim.scope, interface=claim.value)
        return error


def _note(draft: Draft, port_id: str, add: Iterable[str] = (), remove: Iterable[str] = ()) -> None:
    """Say in the port which hosts it may come to."""
    port = draft.get("port", port_id)
    if port is not None:
        hosts = {*port.get(STANDBY_HOSTS, ()), *add}.difference(remove)
        draft.put("port", changed(port, standby_hosts=sorted(hosts)))


class BoundPortHooks(ResourceHooks):
    """Of ports, which may have inactive bindings."""

    def update(self, draft: Draft, context: Context, before: Body, body: Body) -> None:
        binding = _standby(draft, body["id"], body[portbindings.HOST_ID])
        if binding is not None:  # it is the active one now
            draft.delete(PORT_BINDING, binding["id"])
            body[STANDBY_HOSTS] = [h for h in body[STANDBY_HOSTS] if h != binding["host"]]

    def delete(self, draft: Draft, context: Context, body: Body) -> None:
        for id in draft.linked(body["id"], PORT_BINDING):
            draft.delete(PORT_BINDING, id)


class PortBindings:
    """The requests about the bindings of a port."""

    def __init__(self, store: Store, kinds: Kinds) -> None:
        self._store = store
        self._kinds = kinds
        self._access = Access(kinds)
        self._kind, self._ports = kinds[PORT_BINDING], kinds["port"]

    def routes(self) -> Iterator[Route]:
        path = f"{self._ports.path}/{{port_id}}/{_ALL}"
        yield Route("GET", path, self.index)
        yield Route("POST", path, self.create)
        yield Route("GET", path + "/{host}", self.show)
        yield Route("PUT", path + "/{host}", self.update)
        yield Route("DELETE", path + "/{host}", self.delete)
        yield Route("PUT", path + "/{host}/activate", self.activate)

    def index(self, request: Request, context: Context, port_id: str) -> Answer:
        query = Query(request, _ATTRIBUTES)
        self._store.catch_up()
        port = self._port(self._store, context, "get_port_binding", port_id)
        inactive = (
            binding
            for host in port.get(STANDBY_HOSTS, ())
            if (binding := _standby(self._store, port_id, host))
        )
        items = [self._active(self._store, port)]
        items += [self._inactive(self._store, port, binding) for binding in inactive]
        # Pages go by an id; a binding has none but its host.
        passed = [
            {**item, "id": item["host"]}
            for item in items
            if all(test(item[name]) for name, test in query.filters)
        ]
        return 200, query.answer(_ALL, passed, lambda item: _output(item, query.fields))

    def show(self, request: Request, context: Context, port_id: str, host: str) -> Answer:
        fields = [name for name in request.GET.getall("fields") if name]
        self._store.catch_up()
        port = self._port(self._store, context, "get_port_binding", port_id)
        binding = self._find(self._store, port, host)
        item = (
            self._inactive(self._store, port, binding)
            if binding
            else self._active(self._store, port)
        )
        return 200, {_ONE: _output(item, fields)}

    def create(self, request: Request, context: Context, port_id: str) -> Answer:
        attributes = self._kind.parse_new(context, _item(request))

        def change(draft: Draft) -> Body:
            port = self._port(draft, context, "create_port_binding", port_id)
            whole = {"port_id": port_id, "project_id": port["project_id"]}
            binding = ResourceType.new_body({**attributes, **whole})
            self._kind.create(draft, context, binding)
            return self._inactive(draft, port, binding)

        return 201, {_ONE: self._store.write(change, context.actor)}

    def update(self, request: Request, context: Context, port_id: str, host: str) -> Answer:
        changes = self._kind.parse_update(context, _item(request))
        if changes.pop("host", host) != host:
            raise HTTPBadRequest(
                f"The host of a binding is its name: create another one instead of moving {host}."
            )

        def change(draft: Draft) -> Body:
            port = self._port(draft, context, "update_port_binding", port_id)
            binding = self._find(draft, port, host)
            if binding is not None:
                after = self._kind.update(draft, context, binding, changes)
                return self._inactive(draft, port, after)
            named = {_STORED[name]: value for name, value in changes.items()}
            return self._active(draft, self._ports.update(draft, context, port, named))

        return 200, {_ONE: self._store.write(change, context.actor)}

    def delete(self, request: Request, context: Context, port_id: str, host: str) -> Answer:
        def change(draft: Draft) -> None:
            port = self._port(draft, context, "delete_port_binding", port_id)
            binding = self._find(draft, port, host)
            if binding is not None:
                self._kind.delete(draft, context, binding)
            else:  # nothing of the active one stays, as in Neutron
                nothing = {"host": "", "vnic_type": portbindings.VNIC_NORMAL, "profile": {}}
                self._ports.update(draft, context, port, _as_port(nothing))

        self._store.write(change, context.actor)
        return 204, None

    def activate(self, request: Request, context: Context, port_id: str, host: str) -> Answer:
        def change(draft: Draft) -> Body:
            port = self._port(draft, context, "activate", port_id)
            if self._find(draft, port, host) is None:
                raise exceptions.PortBindingAlreadyActive(port_id=port_id, host=host)
            return self._active(draft, activate(self._kinds, draft, context, port, host))

        return 200, self._store.write(change, context.actor)  # bare, as Neutron answers

    def _port(self, reader: Reader, context: Context, rule: str, id: str) -> Body:
        """The port, if ``rule`` lets the caller do it with its bindings. Who may not know of them
        is told that there is no such port, but when making one: so does Neutron."""
        port, policy = self._access.find(reader, context, "port", id), self._kinds.policy
        if rule.startswith("create"):
            policy.check(context, rule, port.get)
        elif not policy.allows(context, rule, port.get):
            raise self._ports.not_found(id)
        return port

    def _find(self, reader: Reader, port: Body, host: str) -> Body | None:
        """A port's inactive binding for a host; None if it is the active one."""
        binding = _standby(reader, port["id"], host)
        if binding is None and port[portbindings.HOST_ID] != host:
            raise exceptions.PortBindingNotFound(port_id=port["id"], host=host)
        return binding

    def _active(self, reader: Reader, port: Body) -> Body:
        return {**self._shown(reader, port), "status": ACTIVE}

    def _inactive(self, reader: Reader, port: Body, binding: Body) -> Body:
        return {**self._shown(reader, {**port, **_as_port(binding)}), "status": INACTIVE}

    def _shown(self, reader: Reader, port: Body) -> Body:
        """What a port's features say of its binding."""
        shown = self._ports.shown(reader, SYSTEM, port)
        return {name: shown[in_port] for name, in_port in _SHOWN.items()}


def _item(request: Request) -> Body:
    payload = read_json(request)
    item = payload.get(_ONE) if isinstance(payload, dict) else None
    if not isinstance(item, dict):
        raise HTTPBadRequest(f"Unable to find '{_ONE}' in request body")
    return item


def _output(item: Body, fields: Iterable[str]) -> Body:
    wanted = set(fields) or {*_SHOWN, "status"}
    return {name: value for name, value in item.items() if name in wanted and name != "id"}


def extension() -> Extension:
    """The kind ``port_binding``."""
    attributes: dict[str, Mapping[str, Any]] = {
        **_ATTRIBUTES,
        "host": {**_ATTRIBUTES["host"], "validate": {"type:not_empty_string": MAX_HOST_LENGTH}},
        "tenant_id": _ATTRIBUTES["project_id"],
    }
    return Extension(
        definitions=(portbindings_extended,),
        kinds=(
            ResourceSpec(
                name=PORT_BINDING,
                collection=_ALL,
                attributes=attributes,
                not_found=lambda id: exceptions.ObjectNotFound(id=id),
                standard=(),
                parent="port",
                internal=True,
            ),
        ),
        rules={PORT_BINDING: PortBindingHooks(), "port": BoundPortHooks()},
    )
