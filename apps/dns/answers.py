# SPDX-License-Identifier: Apache-2.0

"""Answers to DNS queries of a network's ports: from the model, or asked of other resolvers.

Messages are read and written by dnspython. What is under a network's domain, and the names of its
addresses, are answered here with authority, and never forwarded (RFC 6762 and RFC 8375 ask the same
of such names); anything else goes to the configured resolvers. A network's names are visible on
that network alone, but for those of addresses on subnets that publish them: these are answered to
all ports of the project, for its own ports. To nobody else: by its ``dns_domain`` a name may be
anything, and is nothing that one project should tell another.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.reversename
import dns.rrset

from tenantry.controller.feature.effects import DnsQuery
from tenantry.controller.model import FixedIp, Network, Port, Subnet, View
from tenantry.controller.network.dns_names import address_text, domain, full_name, host_name
from tenantry.controller.packets.addresses import is_within
from tenantry.controller.packets.malformed import Malformed

TTL = 30
"""Seconds: names follow the model, so answers must not live long."""

UDP_SIZE = 1232
"""The most that we answer by UDP: what passes any network without fragments (DNS flag day 2020)."""

NO_EDNS_SIZE = 512  # RFC 1035, 4.2.1
STREAM_SIZE = 65535
_HEADER = 12

_TYPES = {dns.rdatatype.A: 4, dns.rdatatype.AAAA: 6}


@dataclass(frozen=True)
class Resolver:
    """``domain`` is that of networks that have none, with its final dot."""

    domain: str

    def answer(
        self, view: View, port: Port, query: bytes, *, stream: bool = False
    ) -> bytes | DnsQuery[bytes]:
        """The answer to a query of a port, or what is to be asked of others. Errors: Malformed,
        for what is not even a query."""
        try:
            message = dns.message.from_wire(query)
        except (dns.exception.DNSException, ValueError, AttributeError):
            return _unreadable(query)
        if message.flags & dns.flags.QR:
            raise Malformed
        size = STREAM_SIZE if stream else _size(message)
        if message.edns > 0:
            return _failed(message, dns.rcode.BADVERS)  # RFC 6891, 6.1.3
        if message.opcode() != dns.opcode.QUERY:
            return _failed(message, dns.rcode.NOTIMP)
        if len(message.question) != 1:
            return _failed(message, dns.rcode.FORMERR)  # RFC 9619
        network = view.get(Network, port.network_id)
        question = message.question[0]
        if network is None or question.rdclass != dns.rdataclass.IN:
            return _failed(message, dns.rcode.REFUSED)
        own = self._own(view, port, network, question.name, question.rdtype)
        if own is None:
            return DnsQuery(query, lambda reply: _forwarded(message, reply, size))
        response = dns.message.make_response(
            message, recursion_available=True, our_payload=UDP_SIZE
        )
        response.flags |= dns.flags.AA
        response.set_rcode(own.rcode)
        if own.texts:
            made = dns.rrset.from_text_list(
                question.name, TTL, dns.rdataclass.IN, own.type, list(own.texts)
            )
            response.answer.append(made)
        else:
            response.authority.append(_authority(own.zone))  # RFC 2308
        return _wire(message, response, size)

    def _own(
        self,
        view: View,
        asker: Port,
        network: Network,
        name: dns.name.Name,
        type: dns.rdatatype.RdataType,
    ) -> _Own | None:
        """What the network says of a name to a port; None if it is not for the network to say."""
        text = name.to_text().lower()
        zone = domain(_NOBODY, network, self.domain)
        if text.endswith((".in-addr.arpa.", ".ip6.arpa.")):
            return self._reverse(view, asker, network, name, type, zone)
        owned = [ip for port, ip in self._named(view, network, text)] or [
            ip
            for there, subnet in _published(view, asker)
            for port, ip in self._named(view, there, text)
            if ip.subnet_id == subnet.id and port.project_id == asker.project_id
        ]
        within = text == zone.lower() or text.endswith("." + zone.lower())
        if not owned and not within:
            return None
        wanted = _TYPES.get(type)
        any_type = type == dns.rdatatype.ANY  # RFC 8482, 4.1: one of the sets there is
        if any_type and owned:
            wanted, type = next((v, t) for t, v in _TYPES.items() if v == owned[0].version)
        texts = tuple(address_text(ip.version, ip.address) for ip in owned if ip.version == wanted)
        exists = bool(owned) or text == zone.lower()
        return _Own(zone, type, texts, dns.rcode.NOERROR if exists else dns.rcode.NXDOMAIN)

    def _named(self, view: View, network: Network, text: str) -> Iterator[tuple[Port, FixedIp]]:
        """The ports with a name, and the addresses that the name is of."""
        labels = text.rstrip(".").split(".")
        for count in range(1, len(labels) + 1):
            host, rest = ".".join(labels[:count]), ".".join(labels[count:]) + "."
            ports = view.find(Port, network_id=network.id, dns_name=host)
            if rest == ".":
                ports = view.find(Port, network_id=network.id, dns_name=text)
            for port in ports:
                if rest == "." or domain(port, network, self.domain).lower() == rest:
                    yield from ((port, ip) for ip in port.fixed_ips)
            if count == 1 and host.startswith("host-"):
                yield from (
                    (port, ip)
                    for port, ip in _nameless(view, network, host)
                    if domain(port, network, self.domain).lower() == rest
                )

    def _reverse(
        self,
        view: View,
        asker: Port,
        network: Network,
        name: dns.name.Name,
        type: dns.rdatatype.RdataType,
        zone: str,
    ) -> _Own | None:
        """RFC 1035, 3.5; RFC 3596, 2.5. Only whole addresses of the network's subnets, and those
        that are published."""
        try:
            address = ip_address(dns.reversename.to_address(name))
        except (dns.exception.DNSException, ValueError):
            return None
        wanted = address.version, int(address)
        is_own = any(_holds(s, *wanted) for s in view.find(Subnet, network_id=network.id))
        if is_own:
            found = ((network, port, ip) for port, ip in _addresses(view, network))
        else:
            found = (
                (there, port, ip)
                for there, subnet in _published(view, asker)
                if _holds(subnet, *wanted)
                for port, ip in _addresses(view, there)
                if ip.subnet_id == subnet.id and port.project_id == asker.project_id
            )
        for there, port, ip in found:
            if (ip.version, ip.address) == wanted:
                texts = (full_name(port, there, ip, self.domain),)
                asked = type in (dns.rdatatype.PTR, dns.rdatatype.ANY)
                return _Own(zone, dns.rdatatype.PTR, texts if asked else (), dns.rcode.NOERROR)
        return _Own(zone, type, (), dns.rcode.NXDOMAIN) if is_own else None


@dataclass(frozen=True)
class _Own:
    zone: str
    type: dns.rdatatype.RdataType
    texts: tuple[str, ...]
    rcode: dns.rcode.Rcode


_NOBODY = Port("", 0, "", "", "", 0, (), True, True, "", "")


def _published(view: View, asker: Port) -> Iterator[tuple[Network, Subnet]]:
    """The subnets of the asker's project whose names may be asked for from anywhere."""
    for subnet in view.find(Subnet, published_for=asker.project_id) if asker.project_id else ():
        network = view.get(Network, subnet.network_id)
        if network is not None:
            yield network, subnet


def _addresses(view: View, network: Network) -> Iterator[tuple[Port, FixedIp]]:
    for port in view.find(Port, network_id=network.id):
        yield from ((port, ip) for ip in port.fixed_ips)


def _nameless(view: View, network: Network, host: str) -> Iterator[tuple[Port, FixedIp]]:
    """The port that has a name made of its address, like ``host-10-0-0-5``."""
    for port, ip in _addresses(view, network):
        if not port.dns_name and host_name(port, ip) == host:
            yield port, ip


def _holds(subnet: Subnet, version: int, address: int) -> bool:
    return subnet.version == version and is_within(
        address, version, subnet.first, subnet.prefix_length
    )


def _size(message: dns.message.Message) -> int:
    """What the client takes by UDP: RFC 6891, 6.2.3."""
    return min(max(message.payload, NO_EDNS_SIZE), UDP_SIZE) if message.edns >= 0 else NO_EDNS_SIZE


def _authority(zone: str) -> dns.rrset.RRset:
    """The SOA of a negative answer; its minimum says how long that holds (RFC 2308, 5)."""
    words = f"resolver.{zone} hostmaster.{zone} 1 3600 600 86400 {TTL}"
    return dns.rrset.from_text(zone, TTL, dns.rdataclass.IN, dns.rdatatype.SOA, words)


def _wire(query: dns.message.Message, response: dns.message.Message, size: int) -> bytes:
    """As bytes; cut off and marked so if it does not fit (RFC 2181, 9)."""
    try:
        return response.to_wire(max_size=size)
    except dns.exception.TooBig:
        return _cut_off(query)


def _response(query: dns.message.Message) -> dns.message.Message:
    return dns.message.make_response(query, recursion_available=True, our_payload=UDP_SIZE)


def _cut_off(query: dns.message.Message) -> bytes:
    """The client should ask again by TCP."""
    short = _response(query)
    short.flags |= dns.flags.TC
    return short.to_wire()


def _failed(query: dns.message.Message, rcode: dns.rcode.Rcode) -> bytes:
    response = _response(query)
    response.set_rcode(rcode)
    return response.to_wire()


def _unreadable(query: bytes) -> bytes:
    """FORMERR, which needs no more of the query than its header."""
    if len(query) < _HEADER or query[2] & 0x80:
        raise Malformed
    opcode_and_rd = query[2] & 0x79
    return query[:2] + bytes([0x80 | opcode_and_rd, dns.rcode.FORMERR]) + bytes(8)


def _forwarded(query: dns.message.Message, reply: bytes | None, size: int) -> bytes:
    """Another resolver's answer as it came, if it fits."""
    if reply is None:
        return _failed(query, dns.rcode.SERVFAIL)
    return reply if len(reply) <= size else _cut_off(query)
