# SPDX-License-Identifier: Apache-2.0

"""The tunnel ports of a switch, as rows of OVSDB: see ovs-vswitchd.conf.db(5), Interface."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b

from tenantry.apps.tap.records import tap_peers
from tenantry.controller.feature.ovsdb_rows import Columns, InterfaceRow, columns
from tenantry.controller.model import Address, Network, Switch, View
from tenantry.controller.network.dns_names import address_text
from tenantry.controller.network.records import HeldDown, Segment
from tenantry.controller.network.routers import networks_on, watched_switches
from tenantry.controller.network.tunnels import (
    SERVICE_TYPE,
    TYPES,
    endpoint,
    service_peers,
    tunnel_of,
    tunneled,
)

HEALTH_TYPE = "vxlan"
"""Of the tunnels by which switches watch each other. They carry no VNI, and no network has none."""


class Tunnels:
    """``interval``: milliseconds between two messages of BFD; after ``multiplier`` of those with
    nothing heard the other end is gone. ``psk``: the key that encrypts all by IPsec, or ""."""

    def __init__(self, interval: int, multiplier: int, psk: str) -> None:
        self._interval = interval
        self._multiplier = multiplier
        self._psk = psk

    def rows(self, view: View, switch: int) -> Iterator[InterfaceRow]:
        """The ports by which networks are carried, and those by which others are watched."""
        record, here = view.get(Switch, switch), endpoint(view, switch)
        if record is None or here is None:
            return
        local = address_text(here.version, here.address)
        watching = watched_switches(view, switch)
        types = {t for t in TYPES if _used(view, t)} | ({HEALTH_TYPE} if watching else set())
        peers = service_peers(view, switch) | tap_peers(view, switch)
        types |= {SERVICE_TYPE} if peers else set()
        for tunnel_type in sorted(types):
            yield InterfaceRow(
                f"tn-{tunnel_type}",
                record.name,
                tunnel_type,
                columns({"remote_ip": "flow", "key": "flow", "local_ip": local}),
                (("tenantry-tunnel", tunnel_type),),
            )
        for other in sorted(watching | self._encrypted(view, switch)):
            there = endpoint(view, other)
            if there is None:
                continue
            remote = address_text(there.version, there.address)
            options = {"remote_ip": remote, "local_ip": local}
            if self._psk:
                options["psk"] = self._psk
            yield InterfaceRow(
                "bfd-" + blake2b(_bytes(there), digest_size=5).hexdigest(),
                record.name,
                HEALTH_TYPE,
                columns(options),
                (("tenantry-peer", remote), ("tenantry-tunnel", HEALTH_TYPE)),
                self._bfd(view, switch) if other in watching else (),
            )

    def _bfd(self, view: View, switch: int) -> Columns:
        bfd = {
            "enable": "true",
            "min_rx": str(self._interval),
            "min_tx": str(self._interval),
            "mult": str(self._multiplier),
        }
        if view.get(HeldDown, switch) is not None:
            bfd["cpath_down"] = "true"  # it answers, but is not to be sent anything
        return columns(bfd)

    def _encrypted(self, view: View, switch: int) -> frozenset[int]:
        """IPsec goes by pairs of hosts (ovs-monitor-ipsec): a tunnel for each makes all between
        the two encrypted, that of tn-vxlan and tn-geneve, too."""
        if not self._psk:
            return frozenset()
        networks = (id for id in networks_on(view, switch) if tunnel_of(view, id))
        served = service_peers(view, switch) | tap_peers(view, switch)
        return served.union(*(tunneled(view, switch, id) for id in networks))


def _used(view: View, tunnel_type: str) -> bool:
    """Whether any network is carried so: the port is there before the first packet needs it."""
    return bool(view.ids(Network, network_type=tunnel_type)) or bool(
        view.ids(Segment, network_type=tunnel_type)
    )


def _bytes(address: Address) -> bytes:
    return address.address.to_bytes(4 if address.version == 4 else 16, "big")
