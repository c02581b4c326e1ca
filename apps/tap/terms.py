# SPDX-License-Identifier: Apache-2.0

"""Which packets to capture, in a few of the words of pcap-filter(7), as matches of flows.

Terms, all of which must hold, with or without ``and`` between them::

    arp  ip  ip6  icmp  icmp6  tcp  udp
    [src|dst] host ADDRESS     of IP, and of ARP
    [src|dst] net PREFIX
    [src|dst] port NUMBER      of TCP or UDP
    ether [src|dst] host MAC
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import TypeAlias

import netaddr

from tenantry.controller.openflow.flow import Match
from tenantry.controller.openflow.oxm import Value
from tenantry.controller.packets.frames import ARP, ICMP, ICMPV6, IPV4, IPV6, TCP, UDP

Alternative: TypeAlias = tuple[tuple[str, Value], ...]
"""A match, as it can be kept in a record."""

MOST_LETTERS = 500
MOST_ALTERNATIVES = 64

_KINDS: dict[str, list[Match]] = {
    "arp": [{"eth_type": ARP}],
    "ip": [{"eth_type": IPV4}],
    "ip6": [{"eth_type": IPV6}],
    "icmp": [{"eth_type": IPV4, "ip_proto": ICMP}],
    "icmp6": [{"eth_type": IPV6, "ip_proto": ICMPV6}],
    **{
        name: [{"eth_type": eth_type, "ip_proto": protocol} for eth_type in (IPV4, IPV6)]
        for name, protocol in (("tcp", TCP), ("udp", UDP))
    },
}
_ENDS = ("src", "dst")
_ARP = {"src": "arp_spa", "dst": "arp_tpa"}


def alternatives(text: str) -> tuple[Alternative, ...]:
    """The matches of which a packet must fit one: that of all packets if nothing is asked. Errors:
    ValueError, with what is wrong."""
    if len(text) > MOST_LETTERS:
        raise ValueError(f"a filter has {MOST_LETTERS} characters at most")
    found: list[Match] = [{}]
    words = [word for word in text.lower().split() if word != "and"]
    while words:
        joined = (_both(one, other) for one, other in product(found, _term(words)))
        found = [match for match in joined if match is not None]
        if not found:
            raise ValueError(f"no packet is all of {text!r}")
        if len(found) > MOST_ALTERNATIVES:
            raise ValueError(f"{text!r} asks for too many kinds of packets at once: name fewer")
    return tuple(sorted({tuple(sorted(match.items())) for match in found}, key=str))


def _both(one: Match, other: Match) -> Match | None:
    """What fits both; None if nothing can."""
    if any(one[name] != other[name] for name in one.keys() & other.keys()):
        return None
    return {**one, **other}


def _term(words: list[str]) -> list[Match]:
    """The alternatives of the first term, which is taken off."""
    word = words.pop(0)
    if word in _KINDS:
        return _KINDS[word]
    ether = word == "ether"
    word = words.pop(0) if ether and words else word
    ends = (word,) if word in _ENDS else _ENDS
    word = words.pop(0) if word in _ENDS and words else word
    known = ("host",) if ether else ("host", "net", "port")
    if word in known and not words:
        raise ValueError(f"{word!r} needs a value after it: {_VALUES['ether' if ether else word]}")
    if word not in known:
        raise ValueError(
            f"{word!r} is no term of a filter: it knows {', '.join(_KINDS)}, [src|dst] host ADDRESS"
            ", net PREFIX or port NUMBER, and ether [src|dst] host MAC"
        )
    value = words.pop(0)
    return list(_mac(value, ends) if ether else _OF[word](value, ends))


def _mac(value: str, ends: tuple[str, ...]) -> Iterator[Match]:
    try:
        mac = int(netaddr.EUI(value, version=48))
    except (netaddr.AddrFormatError, ValueError, TypeError):
        raise ValueError(f"{value!r} is no MAC address") from None
    for end in ends:
        yield {f"eth_{end}": mac}


def _net(value: str, ends: tuple[str, ...]) -> Iterator[Match]:
    try:
        net = netaddr.IPNetwork(value)
    except (netaddr.AddrFormatError, ValueError, TypeError):
        raise ValueError(f"{value!r} is no IP address or prefix") from None
    if not net.prefixlen:
        raise ValueError(f"{value!r} is any address: say ip or ip6")
    mask = int(net.netmask)
    whole = net.prefixlen == (32 if net.version == 4 else 128)
    wanted: Value = net.first if whole else (net.first, mask)
    for end in ends:
        if net.version == 4:
            yield {"eth_type": IPV4, f"ipv4_{end}": wanted}
            yield {"eth_type": ARP, _ARP[end]: wanted}
        else:
            yield {"eth_type": IPV6, f"ipv6_{end}": wanted}


def _port(value: str, ends: tuple[str, ...]) -> Iterator[Match]:
    if not (value.isascii() and value.isdigit() and 0 < int(value) < 1 << 16):
        raise ValueError(f"{value!r} is no port: they are from 1 to 65535")
    for end, name in product(ends, ("tcp", "udp")):
        for match in _KINDS[name]:
            yield {**match, f"{name}_{end}": int(value)}


_VALUES = {
    "host": "host 10.0.0.3",
    "net": "net 10.0.0.0/24",
    "port": "port 80",
    "ether": "ether host fa:16:3e:00:00:01",
}
_OF = {"host": _net, "net": _net, "port": _port}
