# SPDX-License-Identifier: Apache-2.0

"""The API of mirrors: ports whose packets are copied to an address outside, by GRE (RFC 2784, with
the key of RFC 2890) or ERSPAN type II, version 1 (draft-foschiano-erspan, 4.2)."""

from __future__ import annotations

from collections.abc import Iterable

import netaddr
from neutron_lib import exceptions
from neutron_lib.exceptions import taas as errors

from tenantry.apps.tap.ports import own_port
from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import ResourceHooks
from tenantry.controller.store import Body, Claim, Draft, Link

TAP_MIRROR = "tap_mirror"
"""The kind, and the role in which a port sees it."""

IDS = {"gre": 1 << 32, "erspanv1": 1 << 10}
"""How many tunnel ids there are: GRE's key has 32 bits, ERSPAN's session id 10."""

_TUNNEL = "tap_mirror_tunnel"


def _bad(message: str) -> Exception:
    error: Exception = exceptions.BadRequest(resource=TAP_MIRROR, msg=message)
    return error


class TapMirrorHooks(ResourceHooks):
    def create(self, draft: Draft, context: Context, body: Body) -> None:
        own_port(self.kinds["port"], draft, context, body["port_id"], body["project_id"])
        # Neutron's validator lets a number be a text, and its client sends one.
        body["directions"] = {name: int(id) for name, id in body["directions"].items()}
        ids, most = body["directions"].values(), IDS[body["mirror_type"]]
        if not ids:
            raise _bad("directions must have IN, OUT or BOTH, each with the id of a tunnel")
        if not all(0 <= id < most for id in ids):
            raise _bad(f"tunnel ids of {body['mirror_type']} are from 0 to {most - 1}")
        remote = netaddr.IPAddress(body["remote_ip"])
        body["remote_ip"] = str(remote)
        if remote.is_multicast() or remote.is_loopback() or remote.is_link_local() or not remote:
            raise _bad(f"remote_ip {remote} is not the address of another machine")

    def claims(self, body: Body) -> Iterable[Claim]:
        # Of a project as Neutron has it; and switches have one tunnel to an address with a key.
        for id in sorted(set(body["directions"].values())):
            yield Claim(_TUNNEL, f"project {body['project_id']}", str(id))
            yield Claim(_TUNNEL, f"{body['mirror_type']} {body['remote_ip']}", str(id))

    def taken(self, claim: Claim, body: Body) -> Exception | None:
        error: Exception = errors.TapMirrorTunnelConflict(tunnel_id=claim.value)
        return error

    def links(self, body: Body) -> Iterable[Link]:
        yield Link(body["port_id"], TAP_MIRROR)
