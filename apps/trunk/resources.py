# SPDX-License-Identifier: Apache-2.0

"""Trunks in the API: which ports are subports of which, and by what VLAN id.

A port is in one trunk at most, as its parent or as a subport: that is a claim of the trunk. By the
claim, a port finds its trunk.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from neutron_lib import exceptions
from neutron_lib.api import converters, validators
from neutron_lib.api.definitions import provider_net, trunk, trunk_details
from neutron_lib.constants import DEVICE_OWNER_NETWORK_PREFIX, MAX_VLAN_TAG, MIN_VLAN_TAG
from neutron_lib.services.trunk.constants import (
    SEGMENTATION_TYPE_INHERIT,
    SEGMENTATION_TYPE_VLAN,
    TRUNK_ACTIVE_STATUS,
    TRUNK_DOWN_STATUS,
    TRUNK_SUBPORT_OWNER,
)

from tenantry.apps.trunk.policies import POLICIES
from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import (
    TAGGED,
    Extension,
    Reader,
    ResourceHooks,
    ResourceSpec,
    changed,
    claimant,
)
from tenantry.controller.store import Body, Claim, Draft, Link

TRUNK, SUB_PORTS = trunk.TRUNK, trunk.SUB_PORTS

TRUNKED = "trunk_port"
"""The role in which a port sees its trunk."""


def _port(id: str) -> Claim:
    return Claim("trunk_port", "", id)


def _trunk_of(reader: Reader, port_id: str) -> Body | None:
    """The trunk whose parent or subport a port is."""
    return claimant(reader, TRUNK, _port(port_id))


class TrunkHooks(ResourceHooks):
    def create(self, draft: Draft, context: Context, body: Body) -> None:
        parent = _free_port(draft, context, body["port_id"])
        if parent["device_owner"].startswith(DEVICE_OWNER_NETWORK_PREFIX):
            raise ParentPortInUse(port_id=parent["id"])  # no machine is behind it
        body[SUB_PORTS] = _with(draft, context, {**body, SUB_PORTS: []}, _asked(body))

    def created(self, draft: Draft, body: Body) -> None:
        _give(draft, body[SUB_PORTS], body["id"], TRUNK_SUBPORT_OWNER)

    def delete(self, draft: Draft, context: Context, body: Body) -> None:
        _check_enabled(body)
        _give(draft, body[SUB_PORTS], "", "")

    def claims(self, body: Body) -> Iterable[Claim]:
        for id in _ports(body):
            yield _port(id)

    def links(self, body: Body) -> Iterable[Link]:
        for id in _ports(body):
            yield Link(id, TRUNKED)

    def present(self, reader: Reader, context: Context, body: Body, shown: Body) -> None:
        shown.setdefault(
            "status", TRUNK_ACTIVE_STATUS if body["admin_state_up"] else TRUNK_DOWN_STATUS
        )

    def add_subports(self, draft: Draft, context: Context, body: Body, request: Any) -> Any:
        _check_enabled(body)
        after = _with(draft, context, body, _asked(request))
        _give(draft, after[len(body[SUB_PORTS]) :], body["id"], TRUNK_SUBPORT_OWNER)
        return self._put(draft, context, body, after)

    def remove_subports(self, draft: Draft, context: Context, body: Body, request: Any) -> Any:
        _check_enabled(body)
        left = {sub["port_id"]: sub for sub in body[SUB_PORTS]}
        gone = []
        for entry in _asked(request):
            if entry["port_id"] not in left:
                raise SubPortNotFound(trunk_id=body["id"], port_id=entry["port_id"])
            gone.append(left.pop(entry["port_id"]))
        _give(draft, gone, "", "")
        return self._put(draft, context, body, [*left.values()])

    def get_subports(self, draft: Draft, context: Context, body: Body, request: Any) -> Any:
        return {SUB_PORTS: body[SUB_PORTS]}

    def _put(self, draft: Draft, context: Context, body: Body, sub_ports: list[Body]) -> Any:
        trunks = self.kinds[TRUNK]
        return trunks.shown(
            draft, context, trunks.update(draft, context, body, {SUB_PORTS: sub_ports})
        )


def _ports(body: Body) -> list[str]:
    return [body["port_id"], *(sub["port_id"] for sub in body[SUB_PORTS])]


def _check_enabled(body: Body) -> None:
    if not body["admin_state_up"]:
        raise TrunkDisabled(trunk_id=body["id"])


def _give(draft: Draft, sub_ports: Iterable[Body], device_id: str, device_owner: str) -> None:
    """Say in the ports whose they are."""
    for sub in sub_ports:
        port = draft.get("port", sub["port_id"])
        if port is not None:
            draft.put("port", changed(port, device_id=device_id, device_owner=device_owner))


def _asked(request: Body) -> list[Body]:
    """The ``sub_ports`` of a request. Actions have no attribute map to check them by, and that of
    a POST looks no further than the first one that inherits."""
    asked = request.get(SUB_PORTS)
    if not isinstance(asked, list):
        raise _bad("sub_ports must be a list of objects with a port_id each")
    for entry in asked:
        if not isinstance(entry, dict) or validators.validate_uuid(entry.get("port_id")):
            raise _bad(f"'{entry}' in sub_ports must be an object with the port_id of a port")
    for name in ("port_id", "segmentation_id"):
        values = [str(entry[name]) for entry in asked if entry.get(name) is not None]
        if len(set(values)) < len(values):
            raise _bad(f"each {name} may be in sub_ports once")
    return asked


def _with(draft: Draft, context: Context, body: Body, asked: Iterable[Body]) -> list[Body]:
    """The subports of a trunk, and behind them those that are asked for, checked."""
    after: list[Body] = list(body[SUB_PORTS])
    taken = {sub["segmentation_id"] for sub in after}
    for entry in asked:
        if entry["port_id"] == body["port_id"]:
            raise ParentPortInUse(port_id=entry["port_id"])
        port = _free_port(draft, context, entry["port_id"])
        if port["device_id"]:
            raise exceptions.PortInUse(
                net_id=port["network_id"], port_id=port["id"], device_id=port["device_id"]
            )
        segment = _segment(draft, port, entry)
        if segment["segmentation_id"] in taken:
            raise DuplicateSubPort(trunk_id=body["id"], **segment)
        taken.add(segment["segmentation_id"])
        _check_mtu(draft, body, port)
        after.append({"port_id": port["id"], **segment})
    return after


def _free_port(draft: Draft, context: Context, id: str) -> Body:
    """A port of the caller's that is in no trunk. The claims would refuse it, too, but they do not
    say as what the other trunk has it."""
    port = draft.get("port", id)
    if port is None or not context.owns(port):
        raise exceptions.PortNotFound(port_id=id)
    other = _trunk_of(draft, id)
    if other is not None:
        raise ParentPortInUse(port_id=id) if other["port_id"] == id else TrunkPortInUse(port_id=id)
    return port


def _segment(draft: Draft, port: Body, entry: Body) -> Body:
    """How the trunk's frames say that they are a subport's."""
    kind, id = entry.get("segmentation_type"), entry.get("segmentation_id")
    if kind == SEGMENTATION_TYPE_INHERIT:
        network = draft.get("network", port["network_id"]) or {}
        kind, id = network.get(provider_net.NETWORK_TYPE), network.get(provider_net.SEGMENTATION_ID)
        if kind != SEGMENTATION_TYPE_VLAN:
            raise _bad(
                f"Subport {port['id']} cannot inherit: its network {port['network_id']} is not of "
                f"type {SEGMENTATION_TYPE_VLAN}. Give segmentation_type {SEGMENTATION_TYPE_VLAN} "
                "and a segmentation_id."
            )
    if kind != SEGMENTATION_TYPE_VLAN or id is None:
        raise _bad(
            f"Subport {port['id']} needs segmentation_type {SEGMENTATION_TYPE_VLAN} and a "
            f"segmentation_id, or segmentation_type {SEGMENTATION_TYPE_INHERIT}"
        )
    id = converters.convert_to_int(id)
    if not MIN_VLAN_TAG <= id <= MAX_VLAN_TAG:
        raise _bad(f"segmentation_id {id} is out of range ({MIN_VLAN_TAG} through {MAX_VLAN_TAG})")
    return {"segmentation_type": kind, "segmentation_id": id}


def _check_mtu(draft: Draft, body: Body, port: Body) -> None:
    """A machine's VLAN takes no larger packets than the interface that it is on."""
    parent = draft.get("port", body["port_id"]) or port
    above, below = (draft.get("network", p["network_id"]) for p in (parent, port))
    if above and below and below["mtu"] > above["mtu"]:
        raise SubPortMtuGreaterThanTrunkPortMtu(
            port_id=port["id"],
            port_mtu=below["mtu"],
            trunk_id=body["id"],
            trunk_mtu=above["mtu"],
        )


class TrunkPortHooks(ResourceHooks):
    """What a trunk makes of its ports: they stay, and the parent shows the others."""

    def delete(self, draft: Draft, context: Context, body: Body) -> None:
        of = _trunk_of(draft, body["id"])
        if of is not None:
            parent = of["port_id"] == body["id"]
            error = PortInUseAsTrunkParent if parent else PortInUseAsSubPort
            raise error(port_id=body["id"], trunk_id=of["id"])

    def present(self, reader: Reader, context: Context, body: Body, shown: Body) -> None:
        of = _trunk_of(reader, body["id"])
        if of is not None and of["port_id"] == body["id"]:
            ports = ((sub, reader.get("port", sub["port_id"])) for sub in of[SUB_PORTS])
            subs = [{**sub, "mac_address": port["mac_address"]} for sub, port in ports if port]
            shown[trunk_details.TRUNK_DETAILS] = {"trunk_id": of["id"], SUB_PORTS: subs}


def _bad(message: str) -> Exception:
    error: Exception = exceptions.InvalidInput(error_message=message)
    return error


# Neutron's own, which neutron-lib does not have.


class TrunkNotFound(exceptions.NotFound):
    message = "Trunk %(trunk_id)s could not be found."


class SubPortNotFound(exceptions.NotFound):
    message = "Port %(port_id)s is not a subport of trunk %(trunk_id)s."


class ParentPortInUse(exceptions.InUse):
    message = (
        "Port %(port_id)s is the parent of a trunk, or a port of the network's own: it can be "
        "neither parent nor subport of this one. Use another port."
    )


class TrunkPortInUse(exceptions.InUse):
    message = (
        "Port %(port_id)s is a subport of a trunk already. Remove it there first, or use another "
        "port."
    )


class DuplicateSubPort(exceptions.InUse):
    message = (
        "segmentation_type %(segmentation_type)s and segmentation_id %(segmentation_id)s are "
        "another subport's on trunk %(trunk_id)s. Use another segmentation_id."
    )


class SubPortMtuGreaterThanTrunkPortMtu(exceptions.Conflict):
    message = (
        "The network of subport %(port_id)s has MTU %(port_mtu)s, and that of the parent of trunk "
        "%(trunk_id)s only %(trunk_mtu)s. Lower the mtu of the former, or raise that of the latter."
    )


class TrunkDisabled(exceptions.Conflict):
    message = (
        "Trunk %(trunk_id)s is disabled. Set its admin_state_up to true before you change its "
        "subports or delete it."
    )


class PortInUseAsTrunkParent(exceptions.InUse):
    message = "Port %(port_id)s is the parent of trunk %(trunk_id)s. Delete the trunk first."


class PortInUseAsSubPort(exceptions.InUse):
    message = "Port %(port_id)s is a subport of trunk %(trunk_id)s. Remove it there first."


def extension() -> Extension:
    """Trunks."""
    rules = TrunkHooks()
    return Extension(
        policies=POLICIES,
        definitions=(trunk, trunk_details),
        kinds=(
            ResourceSpec(
                name=TRUNK,
                collection=trunk.TRUNKS,
                attributes=trunk.RESOURCE_ATTRIBUTE_MAP[trunk.TRUNKS],
                not_found=lambda id: TrunkNotFound(trunk_id=id),
                standard=TAGGED,
                actions={
                    "add_subports": rules.add_subports,
                    "remove_subports": rules.remove_subports,
                    "get_subports": rules.get_subports,
                },
            ),
        ),
        rules={TRUNK: rules, "port": TrunkPortHooks()},
    )
