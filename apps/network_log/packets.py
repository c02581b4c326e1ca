# SPDX-License-Identifier: Apache-2.0

"""Lines of the network log: whose packet it was, what became of it, and by which rule."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Any

from tenantry.apps.network_log.flows import logs_of
from tenantry.apps.network_log.log import LogLine
from tenantry.apps.security_groups.records import AddressGroup, SecurityGroupRule
from tenantry.apps.security_groups.tables import ALLOWED, ENTERING
from tenantry.controller.feature.effects import PacketIn
from tenantry.controller.model import Port, Prefix, View
from tenantry.controller.openflow.pipeline import IN_PORT, OUT_PORT, RULE_DIRECTION, VERDICT
from tenantry.controller.packets import frames
from tenantry.controller.packets.addresses import is_within
from tenantry.controller.packets.frames import ICMP, ICMPV6, SCTP, TCP, UDP, Ip

_NAMES = {TCP: "tcp", UDP: "udp", SCTP: "sctp", ICMP: "icmp", ICMPV6: "ipv6-icmp"}


def handle(view: View, packet: PacketIn) -> Iterable[LogLine]:
    """A line, if a log asks for it. Errors: Malformed."""
    original = frames.unwrapped(frames.parse_ip(packet.data))
    ingress = packet.register(RULE_DIRECTION) & ENTERING[1] == ENTERING[0]
    accepted = bool(packet.register(VERDICT) & ALLOWED)
    event = "ACCEPT" if accepted else "DROP"
    for port in view.find(Port, key=packet.register(OUT_PORT if ingress else IN_PORT)):
        ids = [log.id for log in logs_of(view, port) if log.event in (event, "ALL")]
        if ids:
            rule = _allowing(view, port, original, ingress) if accepted else None
            yield LogLine(
                {
                    "event": event,
                    "direction": "ingress" if ingress else "egress",
                    "project_id": port.project_id,
                    "port_id": port.id,
                    "port_name": port.name,
                    "rule_id": rule.id if rule else None,
                    "security_group_id": rule.security_group_id if rule else None,
                    "log_ids": ids,
                    **_tuple(original),
                }
            )


def _numbers(packet: Ip) -> tuple[int | None, int | None]:
    """The ports of a packet, or its ICMP type and code."""
    payload = packet.payload
    if packet.protocol in (TCP, UDP, SCTP) and packet.first and len(payload) >= 4:
        source, destination = struct.unpack_from("!HH", payload)
        return source, destination
    if packet.protocol in (ICMP, ICMPV6) and packet.first and len(payload) >= 2:
        return payload[0], payload[1]
    return None, None


def _tuple(packet: Ip) -> dict[str, Any]:
    first, second = _numbers(packet)
    icmp = packet.protocol in (ICMP, ICMPV6)
    names = ("icmp_type", "icmp_code") if icmp else ("source_port", "destination_port")
    to_text = _text4 if packet.version == 4 else _text6
    return {
        "protocol": _NAMES.get(packet.protocol, str(packet.protocol)),
        "source": to_text(packet.src),
        "destination": to_text(packet.dst),
        **dict(zip(names, (first, second), strict=True)),
    }


def _text4(address: int) -> str:
    return str(ip_address(address.to_bytes(4, "big")))


def _text6(address: int) -> str:
    return str(ip_address(address.to_bytes(16, "big")))


def _allowing(view: View, port: Port, packet: Ip, ingress: bool) -> SecurityGroupRule | None:
    """The rule that allows the first packet of a connection: of several, the most special one."""
    rules = [
        rule
        for group_id in sorted(port.security_groups or ())
        for rule in view.find(SecurityGroupRule, security_group_id=group_id)
        if rule.ingress == ingress and _matches(view, rule, packet)
    ]
    return max(rules, key=_special, default=None)


def _special(rule: SecurityGroupRule) -> tuple[bool, bool, int, bool]:
    known = rule.protocol is not None, rule.first is not None
    return (*known, rule.remote_length, bool(rule.remote_id))


def _matches(view: View, rule: SecurityGroupRule, packet: Ip) -> bool:
    if rule.version != packet.version or rule.protocol not in (None, packet.protocol):
        return False
    first, second = _numbers(packet)
    if packet.protocol in (ICMP, ICMPV6):
        if rule.first not in (None, first) or rule.last not in (None, second):
            return False
    elif rule.first is not None and not rule.first <= (second or 0) <= (rule.last or 0):
        return False
    other = packet.src if rule.ingress else packet.dst
    if rule.remote_first is not None:
        return _within(Prefix(rule.version, rule.remote_first, rule.remote_length), other)
    if not rule.remote_id:
        return True
    addresses = view.get(AddressGroup, rule.remote_id)
    if addresses is not None:
        return any(p.version == rule.version and _within(p, other) for p in addresses.prefixes)
    return any(
        (ip.version, ip.address) == (packet.version, other)
        for member in view.find(Port, security_groups=rule.remote_id)
        for ip in member.fixed_ips
    )


def _within(prefix: Prefix, address: int) -> bool:
    return is_within(address, prefix.version, prefix.first, prefix.length)
