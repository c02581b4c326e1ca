# SPDX-License-Identifier: Apache-2.0

"""The tunnels of mirrors, as rows of OVSDB: see ovs-vswitchd.conf.db(5), Interface, "MirrorTunnel
Options"."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b

from tenantry.apps.tap.records import MirrorTunnel, TapMirror
from tenantry.controller.feature.ovsdb_rows import InterfaceRow, columns
from tenantry.controller.model import Switch, View, ports_on
from tenantry.controller.network.dns_names import address_text
from tenantry.controller.network.tunnels import endpoint

TYPES = {"gre": "gre", "erspanv1": "erspan"}
"""By the type of a mirror, that of Open vSwitch."""


def mirror_name(mirror: TapMirror, tunnel: MirrorTunnel) -> str:
    """The name of the interface that leads through one of a mirror's tunnels."""
    return "mi-" + blake2b(f"{mirror.id} {tunnel.key}".encode(), digest_size=5).hexdigest()


def mirror_rows(view: View, switch: int) -> Iterator[InterfaceRow]:
    """A tunnel for each id of the mirrors of ports that are on a switch."""
    record, here = view.get(Switch, switch), endpoint(view, switch)
    if record is None:
        return
    for port_id in sorted(ports_on(view, switch) & view.distinct(TapMirror, "port_id")):
        for mirror in view.find(TapMirror, port_id=port_id):
            options = {"remote_ip": address_text(*mirror.remote)}
            if here is not None and here.version == mirror.remote.version:
                options["local_ip"] = address_text(*here)
            for tunnel in mirror.tunnels:
                key = {"key": str(tunnel.key)}
                if mirror.mirror_type == "erspanv1":
                    # Open vSwitch reads the index in hexadecimal, the session's id in decimal.
                    key |= {"erspan_ver": "1", "erspan_idx": f"{tunnel.key:x}"}
                yield InterfaceRow(
                    mirror_name(mirror, tunnel),
                    record.name,
                    TYPES[mirror.mirror_type],
                    columns({**options, **key}),
                    (("tenantry-mirror", mirror.id),),
                )
