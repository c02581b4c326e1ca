# SPDX-License-Identifier: Apache-2.0

"""``router:external``: networks that lead outside, where routers have their gateways."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from neutron_lib import exceptions
from neutron_lib.api.definitions import external_net
from neutron_lib.api.definitions.constants import IS_DEFAULT
from neutron_lib.constants import DEVICE_OWNER_FLOATINGIP, DEVICE_OWNER_ROUTER_GW
from neutron_lib.exceptions.external_net import ExternalNetworkInUse

from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import (
    ACCESS_EXTERNAL,
    EVERYBODY,
    RBAC_POLICY,
    SYSTEM,
    RbacPolicyInUse,
    Reader,
    ResourceHooks,
    changed,
    give_to_everybody,
    granted,
)
from tenantry.controller.store import Body, Claim, Draft, Store

EXTERNAL = external_net.EXTERNAL

DEFAULT = Claim("default_external_network", "", "")
"""What the one network claims that projects' routers lead to, where nobody says to which."""


class DefaultExternalNetworkExists(exceptions.Conflict):
    message = "A default external network already exists: %(net_id)s."


class ExternalNetworkHooks(ResourceHooks):
    """Who is given access sees them, and uses them by way of routers and floating IPs; for ports of
    one's own there a network must be shared, too. A network is external for as long as somebody
    has access: everybody, if it was made so by its attribute."""

    def create(self, draft: Draft, context: Context, body: Body) -> None:
        if body[IS_DEFAULT]:
            _check_default(draft, body)

    def created(self, draft: Draft, body: Body) -> None:
        if body.get(EXTERNAL):
            give_to_everybody(draft, self.kinds[RBAC_POLICY], "network", body, ACCESS_EXTERNAL)

    def update(self, draft: Draft, context: Context, before: Body, body: Body) -> None:
        if body.get(IS_DEFAULT) != before.get(IS_DEFAULT):
            _check_default(draft, body)
        if body.get(EXTERNAL) == before.get(EXTERNAL):
            return
        if body[EXTERNAL]:
            give_to_everybody(draft, self.kinds[RBAC_POLICY], "network", before, ACCESS_EXTERNAL)
            return
        for id in draft.linked(body["id"], "port"):
            port = draft.get("port", id)
            if port and port["device_owner"] in (DEVICE_OWNER_ROUTER_GW, DEVICE_OWNER_FLOATINGIP):
                raise ExternalNetworkInUse(net_id=body["id"])
        body[IS_DEFAULT] = False
        for policy in _policies(draft, body["id"]):
            draft.delete(RBAC_POLICY, policy["id"])

    def claims(self, body: Body) -> Iterable[Claim]:
        if body.get(IS_DEFAULT):
            yield DEFAULT

    def may_see(self, reader: Reader, context: Context, body: Body) -> bool:
        return granted(reader, context.project_id, body["id"], ACCESS_EXTERNAL)

    def present(self, reader: Reader, context: Context, body: Body, shown: Body) -> None:
        shown.setdefault(EXTERNAL, False)  # networks from before there was such an attribute
        shown[IS_DEFAULT] = bool(body.get(IS_DEFAULT))

    def upgrade(self, store: Store) -> None:
        """What was external before there were policies for it gets one."""

        def change(draft: Draft) -> None:
            for body in store.read("network").values():
                if not _policies(draft, body["id"]):
                    self.created(draft, body)

        store.write(change, SYSTEM.actor)


def _check_default(draft: Draft, body: Body) -> None:
    owner = draft.owner(DEFAULT)
    if body[IS_DEFAULT] and not body.get(EXTERNAL):
        raise exceptions.InvalidInput(
            error_message="is_default is for external networks: set router:external, too"
        )
    if body[IS_DEFAULT] and owner not in (None, body["id"]):
        raise DefaultExternalNetworkExists(net_id=owner)


def _policies(draft: Draft, network_id: str) -> list[Body]:
    """Who may use an external network."""
    found = (draft.get(RBAC_POLICY, id) for id in draft.linked(network_id, "rbac_object"))
    return [policy for policy in found if policy and policy["action"] == ACCESS_EXTERNAL]


class ExternalPolicyHooks(ResourceHooks):
    """A network becomes external with its first policy that gives access to it as such, and is so
    no more without."""

    def created(self, draft: Draft, body: Body) -> None:
        network = draft.get("network", body["object_id"])
        if body["action"] == ACCESS_EXTERNAL and network and not network.get(EXTERNAL):
            draft.put("network", changed(network, **{EXTERNAL: True}))

    def update(self, draft: Draft, context: Context, before: Body, body: Body) -> None:
        if body["action"] == ACCESS_EXTERNAL and body["target_tenant"] != before["target_tenant"]:
            _check_unused(draft, body["object_id"], before, body["target_tenant"])

    def delete(self, draft: Draft, context: Context, body: Body) -> None:
        if body["action"] != ACCESS_EXTERNAL:
            return
        _check_unused(draft, body["object_id"], body)
        network = draft.get("network", body["object_id"])
        if network and all(other["id"] == body["id"] for other in _policies(draft, network["id"])):
            draft.put("network", changed(network, **{EXTERNAL: False}))


def _check_unused(draft: Draft, network_id: str, gone: Body, *instead: Any) -> None:
    """Whose routers have gateways on the network still has access when a policy is gone, and the
    default network is everybody's."""
    network = draft.get("network", network_id)
    if network and network.get(IS_DEFAULT) and gone["target_tenant"] == EVERYBODY:
        raise RbacPolicyInUse(
            object_id=network_id, details="Default external networks must be shared to everyone."
        )
    left = {p["target_tenant"] for p in _policies(draft, network_id) if p["id"] != gone["id"]}
    left.update(instead, [network["project_id"]] if network else [])
    for id in draft.linked(network_id, "port") if EVERYBODY not in left else ():
        port = draft.get("port", id)
        router = draft.get("router", port["device_id"]) if port else None
        gateway = port is not None and port["device_owner"] == DEVICE_OWNER_ROUTER_GW
        if gateway and router and router["project_id"] not in left:
            raise RbacPolicyInUse(
                object_id=network_id, details=f"router {router['id']} has its gateway there"
            )
