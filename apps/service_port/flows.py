"""Flows to the service port and back; see the package."""

from __future__ import annotations

from collections.abc import Iterator

from controller.flow import Action, Flow, Goto, Learn, Move, Output, Resubmit, SetField
from controller.frames import IPV4, IPV6, TCP
from controller.model import Interface, View
from controller.model.addresses import (
    DNS_PORT,
    GUEST_BITS,
    KEY_BITS,
    METADATA_PORT,
    SERVICE_MAC,
    SERVICE_PORT_ADDRESSES,
    SERVICE_PORT_MAC,
)
from controller.pipeline import ASKED, GUEST, IN_PORT, NETWORK, OUT_PORT, Band, Cookie, Table

ETH_TYPES = {4: IPV4, 6: IPV6}

SERVICES = {80: METADATA_PORT, 53: DNS_PORT}
"""The TCP ports that guests ask, and those where the controller listens."""

IDLE_SECONDS = 60
MOST_WAYS_BACK = 1 << 16


def compile_service_port(view: View, switch: int, id: str) -> Iterator[Flow]:
    """Out of the service port and into it, if the switch has one."""
    for interface in view.find(Interface, switch=switch, service=True)[:1]:
        yield Flow(
            Table.CLASSIFY,
            Band.DEFAULT,
            {"in_port": interface.ofport, "vlan_vid": 0},
            (Resubmit(Table.SERVICE_BACK), Goto(Table.OUTPUT)),
        )
        for asked, listening in SERVICES.items():
            for version, eth_type in ETH_TYPES.items():
                yield Flow(
                    Table.SERVICE,
                    Band.DEFAULT,
                    {"eth_type": eth_type, "ip_proto": TCP, "tcp_dst": asked},
                    (*_there(version, asked, listening), Output(interface.ofport)),
                )


def _there(version: int, asked: int, listening: int) -> tuple[Action, ...]:
    """Say in the source address who asks, and learn the way back."""
    source, destination, bits = (
        ("ipv4_src", "ipv4_dst", 32) if version == 4 else ("ipv6_src", "ipv6_dst", 128)
    )
    here = SERVICE_PORT_ADDRESSES[version]
    everything = (1 << KEY_BITS + GUEST_BITS) - 1
    return (
        *(SetField(GUEST, 0), Move(source, GUEST, bits)),
        *(SetField(ASKED, 0), Move(destination, ASKED, bits)),
        SetField(source, here & ~everything),
        Move(IN_PORT, source, KEY_BITS),
        Move(GUEST, source, GUEST_BITS, 0, KEY_BITS),
        *(SetField("tcp_dst", listening), _way_back(version, asked)),
        SetField(destination, here),
        *(SetField("eth_src", SERVICE_MAC), SetField("eth_dst", SERVICE_PORT_MAC)),
    )


def _way_back(version: int, asked: int) -> Learn:
    """What comes for this source from the port that is asked goes back to the guest, as from the
    address that it asked. It is learned when source and port are replaced already."""
    source, destination = ("ipv4_src", "ipv4_dst") if version == 4 else ("ipv6_src", "ipv6_dst")
    guest, from_whom = ("reg3", "reg7") if version == 4 else (GUEST, ASKED)
    return Learn(
        table=Table.SERVICE_BACK,
        match=(
            *(("eth_type", ETH_TYPES[version]), ("ip_proto", TCP)),
            *((destination, source), ("tcp_src", "tcp_dst")),
        ),
        load=(
            *((NETWORK, NETWORK), (OUT_PORT, IN_PORT)),
            *(("eth_dst", "eth_src"), ("eth_src", SERVICE_MAC)),
            *((destination, guest), (source, from_whom), ("tcp_src", asked)),
        ),
        idle_timeout=IDLE_SECONDS,
        limit=MOST_WAYS_BACK,
        cookie=Cookie.SERVICES,
    )
