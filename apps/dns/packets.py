# SPDX-License-Identifier: Apache-2.0

"""Queries in UDP packets, and their answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from tenantry.apps.dns.answers import Resolver
from tenantry.controller.feature.effects import DnsQuery, PacketIn, PacketOut, to_port
from tenantry.controller.model import Port, View
from tenantry.controller.packets import frames
from tenantry.controller.packets.malformed import Malformed
from tenantry.controller.packets.own_addresses import SERVICE_MAC


def handler(
    resolver: Resolver,
) -> Callable[[View, PacketIn], Iterator[PacketOut | DnsQuery[PacketOut]]]:
    """What answers the packets of tenants' ports. Errors: Malformed."""

    def handle(view: View, packet: PacketIn) -> Iterator[PacketOut | DnsQuery[PacketOut]]:
        frame = frames.parse(packet.data)
        if frame.protocol != frames.UDP:
            raise Malformed

        def answered(data: bytes) -> PacketOut:
            answer = frame.answer(data, eth_src=SERVICE_MAC, src=frame.dst)
            return to_port(packet.network, packet.port, answer)

        for port in view.find(Port, key=packet.port):
            answer = resolver.answer(view, port, frame.data)
            if isinstance(answer, bytes):
                yield answered(answer)
            else:
                yield DnsQuery(answer.data, partial(_then, answer, answered))

    return handle


def _then(
    ask: DnsQuery[bytes], answered: Callable[[bytes], PacketOut], reply: bytes | None
) -> PacketOut:
    return answered(ask.then(reply))


def stream(resolver: Resolver) -> Callable[[View, str, bytes], bytes | DnsQuery[bytes]]:
    """What answers queries that come by TCP. Errors: Malformed."""

    def answer(view: View, port_id: str, query: bytes) -> bytes | DnsQuery[bytes]:
        port = view.get(Port, port_id)
        if port is None:
            raise Malformed
        return resolver.answer(view, port, query, stream=True)

    return answer
