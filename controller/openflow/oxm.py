# SPDX-License-Identifier: Apache-2.0

"""Fields that can be matched or set (OXM), and how a person reads them: as ``ovs-ofctl`` writes."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

Value: TypeAlias = int | tuple[int, int]
"""An exact value, or (value, mask)."""

VLAN_PRESENT = 0x1000
"""The bit of ``vlan_vid`` that says that a tag is there (OFPVID_PRESENT, OpenFlow 1.4 A.2.3.7).
``vlan_vid`` 0 means no tag; VLAN_PRESENT alone means a priority tag, that is VLAN id 0."""


class Oxm(NamedTuple):
    """A field that can be matched or set: its OXM or NXM class and number, width and notation."""

    cls: int
    number: int
    bytes: int
    notation: str = "hex"  # of ovs-ofctl: hex, decimal, mac, ipv4, ipv6, port, fragment


_NXM1, _ERICSSON, _OPENFLOW, _PACKET_REGS = 0x0001, 0x1000, 0x8000, 0x8001

OXM: dict[str, Oxm] = {
    "in_port": Oxm(_OPENFLOW, 0, 4, "decimal"),
    "nxm_in_port": Oxm(0x0000, 0, 2, "port"),  # the same of 16 bits, which can be set
    "metadata": Oxm(_OPENFLOW, 2, 8),
    "eth_dst": Oxm(_OPENFLOW, 3, 6, "mac"),
    "eth_src": Oxm(_OPENFLOW, 4, 6, "mac"),
    "eth_type": Oxm(_OPENFLOW, 5, 2),
    "vlan_vid": Oxm(_OPENFLOW, 6, 2),
    "vlan_pcp": Oxm(_OPENFLOW, 7, 1, "decimal"),
    "ip_dscp": Oxm(_OPENFLOW, 8, 1, "decimal"),
    "ip_proto": Oxm(_OPENFLOW, 10, 1, "decimal"),
    "ipv4_src": Oxm(_OPENFLOW, 11, 4, "ipv4"),
    "ipv4_dst": Oxm(_OPENFLOW, 12, 4, "ipv4"),
    "tcp_src": Oxm(_OPENFLOW, 13, 2, "decimal"),
    "tcp_dst": Oxm(_OPENFLOW, 14, 2, "decimal"),
    "udp_src": Oxm(_OPENFLOW, 15, 2, "decimal"),
    "udp_dst": Oxm(_OPENFLOW, 16, 2, "decimal"),
    "sctp_src": Oxm(_OPENFLOW, 17, 2, "decimal"),
    "sctp_dst": Oxm(_OPENFLOW, 18, 2, "decimal"),
    "icmpv4_type": Oxm(_OPENFLOW, 19, 1, "decimal"),
    "icmpv4_code": Oxm(_OPENFLOW, 20, 1, "decimal"),
    "arp_op": Oxm(_OPENFLOW, 21, 2, "decimal"),
    "arp_spa": Oxm(_OPENFLOW, 22, 4, "ipv4"),
    "arp_tpa": Oxm(_OPENFLOW, 23, 4, "ipv4"),
    "arp_sha": Oxm(_OPENFLOW, 24, 6, "mac"),
    "arp_tha": Oxm(_OPENFLOW, 25, 6, "mac"),
    "ipv6_src": Oxm(_OPENFLOW, 26, 16, "ipv6"),
    "ipv6_dst": Oxm(_OPENFLOW, 27, 16, "ipv6"),
    "icmpv6_type": Oxm(_OPENFLOW, 29, 1, "decimal"),
    "icmpv6_code": Oxm(_OPENFLOW, 30, 1, "decimal"),
    "ipv6_nd_target": Oxm(_OPENFLOW, 31, 16, "ipv6"),
    "ipv6_nd_sll": Oxm(_OPENFLOW, 32, 6, "mac"),
    "ipv6_nd_tll": Oxm(_OPENFLOW, 33, 6, "mac"),
    "tunnel_id": Oxm(_OPENFLOW, 38, 8),
    **{f"reg{n}": Oxm(_NXM1, n, 4) for n in range(16)},
    "ip_frag": Oxm(_NXM1, 26, 1, "fragment"),
    "tun_src": Oxm(_NXM1, 31, 4, "ipv4"),
    "tun_dst": Oxm(_NXM1, 32, 4, "ipv4"),
    "tun_ipv6_src": Oxm(_NXM1, 109, 16, "ipv6"),
    "tun_ipv6_dst": Oxm(_NXM1, 110, 16, "ipv6"),
    "ip_ttl": Oxm(_NXM1, 29, 1, "decimal"),
    **{f"xxreg{n}": Oxm(_NXM1, 111 + n, 16) for n in range(2)},
    **{f"xreg{n}": Oxm(_PACKET_REGS, n, 8) for n in range(8)},
    "ct_state": Oxm(_NXM1, 105, 4),
    "ct_zone": Oxm(_NXM1, 106, 2),
    "ct_mark": Oxm(_NXM1, 107, 4),
    # Of the connection that a packet is part of, as it was begun: see ovs-fields(7).
    "ct_nw_proto": Oxm(_NXM1, 119, 1, "decimal"),
    "ct_nw_src": Oxm(_NXM1, 120, 4, "ipv4"),
    "ct_nw_dst": Oxm(_NXM1, 121, 4, "ipv4"),
    "ct_ipv6_src": Oxm(_NXM1, 122, 16, "ipv6"),
    "ct_ipv6_dst": Oxm(_NXM1, 123, 16, "ipv6"),
    "ct_tp_src": Oxm(_NXM1, 124, 2, "decimal"),
    "ct_tp_dst": Oxm(_NXM1, 125, 2, "decimal"),
    "nd_reserved": Oxm(_ERICSSON, 1, 4, "decimal"),
    "nd_options_type": Oxm(_ERICSSON, 2, 1, "decimal"),
}


TUNNEL_ENDS = {4: ("tun_src", "tun_dst"), 6: ("tun_ipv6_src", "tun_ipv6_dst")}
"""By the IP version of a tunnel: where it begins and where it leads."""

FRAGMENT, FIRST_FRAGMENT, LATER_FRAGMENT = (1, 1), 1, (2, 2)
"""ip_frag of any fragment, of a packet's first, which alone has the ports (or the type of ICMP),
and of all others."""

_FRAGMENTS: dict[Value, str] = {FRAGMENT: "yes", FIRST_FRAGMENT: "first", LATER_FRAGMENT: "later"}

# ovs-ofctl's own names, where they differ from OpenFlow's; in matches it has kept older ones.
OFCTL_NAME = {
    "nxm_in_port": "in_port",
    "ipv4_src": "ip_src",
    "ipv4_dst": "ip_dst",
    "icmpv4_type": "icmp_type",
    "icmpv4_code": "icmp_code",
    "ip_ttl": "nw_ttl",
    "ipv6_nd_target": "nd_target",
    "ipv6_nd_sll": "nd_sll",
    "ipv6_nd_tll": "nd_tll",
    "tunnel_id": "tun_id",
}
_OFCTL_MATCH_NAME = {
    **OFCTL_NAME,
    "ip_proto": "nw_proto",
    "ipv4_src": "nw_src",
    "ipv4_dst": "nw_dst",
    "tcp_src": "tp_src",
    "tcp_dst": "tp_dst",
    "udp_src": "tp_src",
    "udp_dst": "tp_dst",
    "sctp_src": "tp_src",
    "sctp_dst": "tp_dst",
    "eth_src": "dl_src",
    "eth_dst": "dl_dst",
    "eth_type": "dl_type",
}


class Leading(str):
    """The first ``bits`` of a field."""

    __slots__ = ("bits",)

    bits: int

    def __new__(cls, field: str, bits: int) -> Leading:
        self = super().__new__(cls, field)
        self.bits = bits
        return self


def value_text(field: str, value: int) -> str:
    """An integer in the notation of its field: ``fa:16:3e:00:00:01``, ``10.0.0.1``, ``0x5``."""
    notation = OXM[field].notation
    if notation == "mac":
        return ":".join(f"{octet:02x}" for octet in value.to_bytes(6, "big"))
    if notation == "ipv4":
        return str(ipaddress.IPv4Address(value))
    if notation == "ipv6":
        return str(ipaddress.IPv6Address(value))
    if notation == "port" and value == 0xFFFD:
        return "CONTROLLER"
    return str(value) if notation in ("decimal", "port") else hex(value)


def _mask_text(field: str, mask: int) -> str:
    """A mask in the notation of its field; that of an address by its length, if it is a prefix."""
    size, ones = OXM[field].bytes * 8, mask.bit_count()
    if OXM[field].notation in ("ipv4", "ipv6") and mask == (1 << size) - (1 << size - ones):
        return str(ones)
    return value_text(field, mask)


def match_text(match: Mapping[str, Value]) -> str:
    """A match as ``ovs-ofctl`` writes it."""
    parts = []
    for field in sorted(match, key=match_order):
        value = match[field]
        name = _OFCTL_MATCH_NAME.get(field, field)
        if OXM[field].notation == "fragment":
            parts.append(f"{name}={_FRAGMENTS[value]}")
        elif isinstance(value, tuple):
            parts.append(f"{name}={value_text(field, value[0])}/{_mask_text(field, value[1])}")
        else:
            parts.append(f"{name}={value_text(field, value)}")
    return ",".join(parts)


# They are extensions, but need eth_type and more of what is OpenFlow's own.
_LAST = {"ip_ttl", "ip_frag", "nd_reserved", "nd_options_type"} | {
    name for name in OXM if name.startswith(("ct_nw_", "ct_ipv6_", "ct_tp_"))
}
_ORDER = {
    name: rank
    for rank, name in enumerate(
        sorted(OXM, key=lambda name: (name in _LAST, OXM[name].cls, OXM[name].number))
    )
}
match_order = _ORDER.__getitem__
"""Sort key that puts every field behind its prerequisites: by OXM class and number."""


def span(field: str, start: int, bits: int) -> str:
    """``NXM_NX_REG3[0..7]``; a whole field without numbers."""
    whole = bits == OXM[field].bytes * 8
    numbers = "" if whole else str(start) if bits == 1 else f"{start}..{start + bits - 1}"
    return f"{NXM_NAME[field]}[{numbers}]"


NXM_NAME = {
    "eth_dst": "NXM_OF_ETH_DST",
    "eth_src": "NXM_OF_ETH_SRC",
    "ipv4_src": "NXM_OF_IP_SRC",
    "ipv4_dst": "NXM_OF_IP_DST",
    "tcp_src": "NXM_OF_TCP_SRC",
    "tcp_dst": "NXM_OF_TCP_DST",
    "udp_src": "NXM_OF_UDP_SRC",
    "sctp_src": "OXM_OF_SCTP_SRC",
    "sctp_dst": "OXM_OF_SCTP_DST",
    "ct_mark": "NXM_NX_CT_MARK",
    "nd_reserved": "ERICOXM_OF_ICMPV6_ND_RESERVED",
    "ct_zone": "NXM_NX_CT_ZONE",
    "arp_spa": "NXM_OF_ARP_SPA",
    "arp_tpa": "NXM_OF_ARP_TPA",
    "arp_sha": "NXM_NX_ARP_SHA",
    "arp_tha": "NXM_NX_ARP_THA",
    "ipv6_src": "NXM_NX_IPV6_SRC",
    "ipv6_dst": "NXM_NX_IPV6_DST",
    "ipv6_nd_target": "NXM_NX_ND_TARGET",
    "ipv6_nd_sll": "NXM_NX_ND_SLL",
    "ipv6_nd_tll": "NXM_NX_ND_TLL",
    "tun_src": "NXM_NX_TUN_IPV4_SRC",
    "tun_dst": "NXM_NX_TUN_IPV4_DST",
    "tun_ipv6_src": "NXM_NX_TUN_IPV6_SRC",
    "tun_ipv6_dst": "NXM_NX_TUN_IPV6_DST",
    "in_port": "OXM_OF_IN_PORT",
    "metadata": "OXM_OF_METADATA",
    "nxm_in_port": "NXM_OF_IN_PORT",
    **{f"xxreg{n}": f"NXM_NX_XXREG{n}" for n in range(2)},
    **{f"reg{n}": f"NXM_NX_REG{n}" for n in range(16)},
    **{f"xreg{n}": f"OXM_OF_PKT_REG{n}" for n in range(8)},
}
"""Names as ``move`` and ``learn`` write them."""
