# SPDX-License-Identifier: Apache-2.0

"""Connections by a load balancer, held at both ends."""

from __future__ import annotations

import select
import socket
from contextlib import ExitStack, closing

from tests.namespace import Guest

SERVICE, LISTENING = 80, 8080
"""Where a load balancer is asked, and where its members are."""


class Pair:
    """A connection, as a client and the member that it has got have it."""

    def __init__(self, client: socket.socket, server: socket.socket, member: int) -> None:
        self.client, self.server, self.member = client, server, member
        for end in (client, server):
            end.settimeout(20)

    @property
    def seen(self) -> str:
        """As whom the member sees the client."""
        name: str = self.server.getpeername()[0]
        return name

    def talks(self) -> bool:
        """Whether each hears the other."""
        for one, other in ((self.client, self.server), (self.server, self.client)):
            one.sendall(b"word")
            if other.recv(4) != b"word":
                return False
        return True

    def close(self) -> None:
        self.client.close()
        self.server.close()


def listen(stack: ExitStack, guest: Guest) -> socket.socket:
    """Both families, at one port."""
    made: socket.socket = stack.enter_context(
        closing(guest.socket(socket.SOCK_STREAM, socket.AF_INET6))
    )
    made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    made.bind(("::", LISTENING))
    made.listen(1024)
    return made


def connect(stack: ExitStack, guest: Guest, to: str, listening: list[socket.socket]) -> Pair:
    """A connection with one of those who listen."""
    family = socket.AF_INET6 if ":" in to else socket.AF_INET
    client = guest.socket(socket.SOCK_STREAM, family)
    client.settimeout(30)
    client.connect((to, SERVICE))
    ready, _, _ = select.select(listening, (), (), 30)
    accepted, _ = ready[0].accept()
    return stack.enter_context(closing(Pair(client, accepted, listening.index(ready[0]))))
