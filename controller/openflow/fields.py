# SPDX-License-Identifier: Apache-2.0

"""Fields on the wire, as Open vSwitch tells them.

There are many ways to write a match, and one in which Open vSwitch tells it: fields in an order of
its own, wide registers as the registers that they are made of, no mask that says all or nothing,
and Nicira's older names in Nicira's actions. We write flows that way, so that what a switch tells
can be held against what was written, byte by byte. Sections refer to the OpenFlow 1.4.0
specification.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import TypeAlias

from tenantry.controller.openflow.oxm import OXM, Value

Oxms: TypeAlias = Mapping[str, Value]

ORDER = {
    field: rank
    for rank, field in enumerate(
        (
            *("nxm_in_port", "in_port", "eth_src", "eth_dst", "eth_type", "vlan_vid", "vlan_pcp"),
            *("ipv4_src", "ipv4_dst", "ipv6_src", "ipv6_dst", "ip_frag"),
            *("ip_dscp", "ip_ttl", "ip_proto"),
            *("tcp_src", "tcp_dst", "udp_src", "udp_dst", "sctp_src", "sctp_dst"),
            *("icmpv4_type", "icmpv4_code", "icmpv6_type", "icmpv6_code", "nd_reserved"),
            *("ipv6_nd_target", "nd_options_type", "ipv6_nd_sll", "ipv6_nd_tll"),
            *("arp_op", "arp_spa", "arp_tpa", "arp_sha", "arp_tha"),
            *("tunnel_id", "tun_src", "tun_dst", "tun_ipv6_src", "tun_ipv6_dst"),
            *(f"reg{n}" for n in range(16)),
            *("ct_state", "ct_zone", "ct_mark", "ct_nw_src", "ct_ipv6_src", "ct_nw_dst"),
            *("ct_ipv6_dst", "ct_nw_proto", "ct_tp_src", "ct_tp_dst", "metadata"),
        )
    )
}
"""The order in which Open vSwitch tells fields (``nx_put_raw`` in ``lib/nx-match.c``)."""

REGISTER = 0xFFFFFFFF  # all of its bits
PARTS = {
    **{f"xreg{n}": {f"reg{2 * n}": 32, f"reg{2 * n + 1}": 0} for n in range(8)},
    **{f"xxreg{n}": {f"reg{4 * n + part}": 96 - 32 * part for part in range(4)} for n in range(2)},
}
"""The registers that wide ones are made of, the highest first, and the bit that each begins at."""

_BITS = {"vlan_vid": 13, "vlan_pcp": 3, "ip_dscp": 6}
"""How many bits a field has that does not fill its bytes."""

_NXM = {
    "eth_dst": 0x0000_0206,
    "eth_src": 0x0000_0406,
    "eth_type": 0x0000_0602,
    "ip_proto": 0x0000_0C01,
    "ipv4_src": 0x0000_0E04,
    "ipv4_dst": 0x0000_1004,
    "tcp_src": 0x0000_1202,
    "tcp_dst": 0x0000_1402,
    "udp_src": 0x0000_1602,
    "udp_dst": 0x0000_1802,
    "arp_spa": 0x0000_2004,
    "arp_tpa": 0x0000_2204,
    "tunnel_id": 0x0001_2008,
    "arp_sha": 0x0001_2206,
    "arp_tha": 0x0001_2406,
    "ipv6_src": 0x0001_2610,
    "ipv6_dst": 0x0001_2810,
    "ipv6_nd_target": 0x0001_2E10,
    "ipv6_nd_sll": 0x0001_3006,
    "ipv6_nd_tll": 0x0001_3206,
}
"""Headers of fields as Nicira's actions name them, if they have such a name (ovs-fields(7))."""


def oxm_header(field: str, masked: bool = False) -> int:
    """The four bytes before a value: class, number, mask flag, length (7.2.2.2)."""
    oxm = OXM[field]
    length = oxm.bytes * 2 if masked else oxm.bytes
    return oxm.cls << 16 | oxm.number << 9 | masked << 8 | length


def nicira_header(field: str) -> int:
    """The same in Nicira's actions."""
    return _NXM.get(field) or oxm_header(field)


def as_told(match: Oxms) -> Oxms:
    """The same match without masks that say all or nothing, and without masked wide registers."""
    told: dict[str, Value] = {}
    for field, value in match.items():
        if not isinstance(value, tuple):
            told[field] = value
            continue
        width = OXM[field].bytes * 8
        if (value[0] | value[1]) >> width:
            raise struct.error(f"{field} has {width} bits")
        every = REGISTER if field in PARTS else (1 << _BITS.get(field, width)) - 1
        for part, first in PARTS.get(field, {field: 0}).items():
            wanted, mask = (number >> first & every for number in value)
            if mask == every:
                told[part] = wanted
            elif mask:
                told[part] = (wanted, mask)
    return told


def with_masks(match: Oxms) -> frozenset[str]:
    """The fields that are matched with a mask."""
    return frozenset([field for field, value in match.items() if type(value) is tuple])
