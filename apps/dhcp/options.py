# SPDX-License-Identifier: Apache-2.0

"""DHCP options by name and number: which there are, and how a value in words becomes bytes.

Names are dnsmasq's, which Neutron's users know. Numbers: RFC 2132 and the registries of IANA.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address

from tenantry.controller.model import DhcpOption

NEXT_SERVER = "server-ip-address"
"""Not an option: the field of that meaning in a DHCPv4 message (siaddr). An IPv6 address goes into
the URL that DHCPv6 has in its place (:func:`boot_url`)."""

IPXE, IPXE6 = "ipxe", "ipxe6"
"""Tags, as Neutron has dnsmasq set them: of a client that says something to iPXE (option 175), and
of one whose user class is iPXE's."""

USER_CLASS, ENCAPSULATED, USER_CLASS6 = 77, 175, 15
IPXE_CLASS = b"iPXE"

MASK, ROUTER, DNS, HOST_NAME, DOMAIN, MTU, NTP = 1, 3, 6, 12, 15, 26, 42
REQUESTED, LEASE, OVERLOAD, TYPE, SERVER, PARAMETERS, MAX_SIZE, T1, T2, CLIENT = (
    *(50, 51, 52, 53, 54, 55, 57),
    *(58, 59, 61),
)
TFTP_SERVER, BOOT_FILE, SEARCH, ROUTES, WINDOWS_ROUTES = 66, 67, 119, 121, 249

DNS6, SEARCH6, SNTP6, NTP6, BOOT_FILE6 = 23, 24, 31, 56, 59


def _addresses(value: str) -> bytes:
    return b"".join(ip_address(text.strip()).packed for text in value.split(","))


def _ipv6_addresses(value: str) -> bytes:
    texts = (text.strip().strip("[]") for text in value.split(","))
    return b"".join(IPv6Address(text).packed for text in texts)


def _ntp6(value: str) -> bytes:
    """Each server in a suboption of its own: RFC 5908, 4.1."""
    texts = (text.strip().strip("[]") for text in value.split(","))
    return b"".join(b"\0\x01\0\x10" + IPv6Address(text).packed for text in texts)


def _text(value: str) -> bytes:
    return value.encode()


def _number(size: int) -> Callable[[str], bytes]:
    return lambda value: int(value, 0).to_bytes(size, "big", signed=value.startswith("-"))


def _guess(value: str) -> bytes:
    """The bytes of an option that has no name here: addresses, a number, bytes in hexadecimal
    (``01:02:ff``), or else text."""
    try:
        return _addresses(value)
    except ValueError:
        pass
    if value.isdecimal():
        number = int(value)
        sizes = [size for size in (1, 2, 4) if number < 1 << 8 * size]
        return number.to_bytes(sizes[0], "big") if sizes else value.encode()
    octets = value.split(":")
    if len(octets) > 1 and all(len(octet) == 2 for octet in octets):
        try:
            return bytes.fromhex("".join(octets))
        except ValueError:
            pass
    return value.encode()


def names(value: str) -> bytes:
    """Domain names, not compressed (RFC 1035, 3.1): of options 119 (RFC 3397) and 24 (RFC 3646).
    ValueError for what is no name."""
    encoded = b""
    for name in value.split(","):
        labels = [label.encode("ascii") for label in name.strip().rstrip(".").split(".")]
        if not all(0 < len(label) < 64 for label in labels):
            raise ValueError(name)
        encoded += b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    return encoded


def routes(pairs: Iterable[tuple[int, int, int]]) -> bytes:
    """Classless static routes (RFC 3442): destination, prefix length, router."""
    encoded = b""
    for destination, length, router in pairs:
        significant = destination.to_bytes(4, "big")[: (length + 7) // 8]
        encoded += bytes([length]) + significant + router.to_bytes(4, "big")
    return encoded


def _routes(value: str) -> bytes:
    """As dnsmasq writes them: ``10.0.0.0/8,10.1.0.1,0.0.0.0/0,10.1.0.2``."""
    texts = [text.strip() for text in value.split(",") if text.strip()]
    pairs = []
    for destination, router in zip(texts[::2], texts[1::2], strict=True):
        address, _, length = destination.partition("/")
        prefix = int(length or "32")
        if not 0 <= prefix <= 32:
            raise ValueError(destination)
        pairs.append((int(IPv4Address(address)), prefix, int(IPv4Address(router))))
    return routes(pairs)


def _sip_servers(value: str) -> bytes:
    """Addresses, or names: RFC 3361, 3."""
    try:
        return b"\1" + _addresses(value)
    except ValueError:
        return b"\0" + names(value)


Encoder = Callable[[str], bytes]

_BYTE, _SHORT, _LONG = _number(1), _number(2), _number(4)

NAMES: dict[int, dict[str, tuple[int, Encoder]]] = {
    4: {
        "netmask": (MASK, _addresses),
        "time-offset": (2, _LONG),
        "router": (ROUTER, _addresses),
        "dns-server": (DNS, _addresses),
        "log-server": (7, _addresses),
        "lpr-server": (9, _addresses),
        "hostname": (HOST_NAME, _text),
        "boot-file-size": (13, _SHORT),
        "domain-name": (DOMAIN, _text),
        "swap-server": (16, _addresses),
        "root-path": (17, _text),
        "extension-path": (18, _text),
        "ip-forward-enable": (19, _BYTE),
        "non-local-source-routing": (20, _BYTE),
        "policy-filter": (21, _addresses),
        "max-datagram-reassembly": (22, _SHORT),
        "default-ttl": (23, _BYTE),
        "mtu": (MTU, _SHORT),
        "all-subnets-local": (27, _BYTE),
        "broadcast": (28, _addresses),
        "router-discovery": (31, _BYTE),
        "router-solicitation": (32, _addresses),
        "static-route": (33, _addresses),
        "trailer-encapsulation": (34, _BYTE),
        "arp-timeout": (35, _LONG),
        "ethernet-encap": (36, _BYTE),
        "tcp-ttl": (37, _BYTE),
        "tcp-keepalive": (38, _LONG),
        "nis-domain": (40, _text),
        "nis-server": (41, _addresses),
        "ntp-server": (NTP, _addresses),
        "vendor-encap": (43, _guess),
        "netbios-ns": (44, _addresses),
        "netbios-dd": (45, _addresses),
        "netbios-nodetype": (46, _BYTE),
        "netbios-scope": (47, _text),
        "x-windows-fs": (48, _addresses),
        "x-windows-dm": (49, _addresses),
        "lease-time": (LEASE, _LONG),
        "server-identifier": (SERVER, _addresses),
        "T1": (T1, _LONG),
        "T2": (T2, _LONG),
        "vendor-class": (60, _text),
        "nis+-domain": (64, _text),
        "nis+-server": (65, _addresses),
        "tftp-server": (TFTP_SERVER, _text),
        "tftp-server-name": (TFTP_SERVER, _text),
        "bootfile-name": (BOOT_FILE, _text),
        "mobile-ip-home": (68, _addresses),
        "smtp-server": (69, _addresses),
        "pop3-server": (70, _addresses),
        "nntp-server": (71, _addresses),
        "irc-server": (74, _addresses),
        "posix-timezone": (100, _text),
        "tzdb-timezone": (101, _text),
        "ipv6-only": (108, _LONG),
        "domain-search": (SEARCH, names),
        "sip-server": (120, _sip_servers),
        "classless-static-route": (ROUTES, _routes),
        "tftp-server-address": (150, _addresses),
        "ipxe-encap": (175, _guess),
        "pxelinux-path-prefix": (210, _text),
        "windows-static-route": (WINDOWS_ROUTES, _routes),
        "wpad": (252, _text),
    },
    6: {
        "sip-server-domain": (21, names),
        "sip-server": (22, _ipv6_addresses),
        "dns-server": (DNS6, _ipv6_addresses),
        "domain-search": (SEARCH6, names),
        "nis-server": (27, _ipv6_addresses),
        "nis+-server": (28, _ipv6_addresses),
        "nis-domain": (29, names),
        "nis+-domain": (30, names),
        "sntp-server": (SNTP6, _ipv6_addresses),
        "information-refresh-time": (32, _LONG),
        "posix-timezone": (41, _text),
        "tzdb-timezone": (42, _text),
        "ntp-server": (NTP6, _ntp6),
        "bootfile-url": (BOOT_FILE6, _text),
        "bootfile-param": (60, lambda value: len(value).to_bytes(2, "big") + value.encode()),
    },
}

_BY_NUMBER = {version: dict(reversed(table.values())) for version, table in NAMES.items()}

RESERVED = {4: frozenset({0, REQUESTED, OVERLOAD, TYPE, PARAMETERS, MAX_SIZE, CLIENT, 255})}
"""What only the protocol itself says."""
RESERVED[6] = frozenset({0, 1, 2, 3, 4, 5, 6, 8, 9, 11, 12, 13, 14, 15, 25, 26})


def encode(option: DhcpOption) -> tuple[int, bytes] | None:
    """The code and the bytes of a port's option. None for a name that is not known, a value that is
    none of its kind, or what is not for users to say. No bytes: the host is not to be told."""
    table = NAMES[option.version]
    if option.name in table:
        code, encoder = table[option.name]
    elif option.name.isdecimal():
        code = int(option.name)
        encoder = _BY_NUMBER[option.version].get(code, _guess)
    else:
        return None
    try:
        value = encoder(option.value) if option.value else b""
    except (ValueError, OverflowError):
        return None
    return None if code in RESERVED[option.version] else (code, value)


def meant(
    options: Iterable[DhcpOption], version: int, tags: Collection[str]
) -> Iterator[DhcpOption]:
    """Those of a port's options that are for a client with these tags; what counts most is last:
    options with conditions are more to the point than those without."""
    for option in sorted(options, key=lambda option: len(option.tags)):
        here = (tag[1:] not in tags if tag[0] == "!" else tag in tags for tag in option.tags)
        if option.version == version and all(here):
            yield option


def own(options: Iterable[DhcpOption], version: int, tags: Collection[str]) -> dict[int, bytes]:
    """A port's own options for a client with these tags, by code."""
    encoded = (encode(option) for option in meant(options, version, tags))
    return dict(pair for pair in encoded if pair is not None)


def next_server(
    options: Iterable[DhcpOption], version: int, tags: Collection[str]
) -> IPv4Address | IPv6Address | None:
    """The server of a port's boot file, if it has one with an address of this IP version."""
    found = None
    for said in (4, 6):  # who names no version has said 4, whatever the address
        for option in meant(options, said, tags):
            if option.name == NEXT_SERVER and option.value:
                address = ip_address(option.value)
                found = address if address.version == version else found
    return found


def boot_url(options: Iterable[DhcpOption], tags: Collection[str]) -> bytes:
    """What a DHCPv6 client is told (RFC 5970, 3.1) of the boot file that a port has by its name, on
    a server with an IPv6 address; "" if there is none."""
    options = tuple(options)
    server, file = next_server(options, 6, tags), own(options, 4, tags).get(BOOT_FILE)
    return f"tftp://[{server}]/".encode() + file if server and file else b""
