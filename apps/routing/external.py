# SPDX-License-Identifier: Apache-2.0

"""``router:external``: networks that lead outside, where routers have their gateways."""

from __future__ import annotations

from neutron_lib.api.definitions import external_net
from neutron_lib.constants import DEVICE_OWNER_FLOATINGIP, DEVICE_OWNER_ROUTER_GW
from neutron_lib.exceptions.external_net import ExternalNetworkInUse

from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import Reader, ResourceHooks
from tenantry.controller.store import Body, Draft

EXTERNAL = external_net.EXTERNAL


class ExternalNetworkHooks(ResourceHooks):
    """Everybody sees them, and uses them by way of routers and floating IPs; for ports of one's own
    there a network must be shared, too."""

    def create(self, draft: Draft, context: Context, body: Body) -> None:
        if body[EXTERNAL]:
            context.require_admin("only an admin may make a network external")

    def update(self, draft: Draft, context: Context, before: Body, body: Body) -> None:
        if body.get(EXTERNAL) == before.get(EXTERNAL):
            return
        context.require_admin("only an admin may make a network external")
        if not body[EXTERNAL]:
            for id in draft.linked(body["id"], "port"):
                port = draft.get("port", id)
                if port and port["device_owner"] in (
                    DEVICE_OWNER_ROUTER_GW,
                    DEVICE_OWNER_FLOATINGIP,
                ):
                    raise ExternalNetworkInUse(net_id=body["id"])

    def shared(self, reader: Reader, body: Body) -> bool:
        return bool(body.get(EXTERNAL))

    def present(self, reader: Reader, body: Body, shown: Body) -> None:
        shown.setdefault(EXTERNAL, False)  # networks from before there was such an attribute
