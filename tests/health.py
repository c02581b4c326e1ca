# SPDX-License-Identifier: Apache-2.0

"""Load balancers whose members are watched, and servers that answer as they are told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

from tenantry.apps.load_balancer.records import (
    TCP,
    UDP,
    HealthMonitor,
    Member,
    MemberHealth,
    Pool,
)
from tests.balancers import Balancers
from tests.namespace import Guest

NAME = "web.example"


class Monitored:
    """A load balancer with its address on a network. Its pools have listeners, which switches do,
    and monitors that ask every second, and believe what they are told."""

    def __init__(self, made: Balancers, network: Any) -> None:
        self.made = made
        self.balancer = made.balancer(network)
        self.ports: dict[str, int] = {}
        """Those of listeners, by the pool: from there monitors ask, too."""

    def pool(self, type: str, **monitor: Any) -> Pool:
        made = self.made
        pool = made.pool(self.balancer, UDP if type == "UDP-CONNECT" else TCP)
        self.ports[pool.id] = 256 + len(self.ports)
        made.listener(pool, self.ports[pool.id])
        plan = {"delay": 1, "timeout": 1, "max_retries": 1, "max_retries_down": 1, **monitor}
        of = (pool.project_id, pool.id, type)
        made.put(HealthMonitor(str(uuid4()), *of, admin_state_up=True, **plan))
        return pool

    def member(self, pool: Pool, port: Any, number: int, **more: Any) -> Member:
        """At the first address of a port, or at an address."""
        address = port if isinstance(port, str) else port["fixed_ips"][0]["ip_address"]
        return self.made.member(pool, more.pop("slot", 0), address, number, **more)

    def until(self, member: Member, reason: str = "") -> None:
        """Wait until it is found alive, or dead for a reason."""
        wanted = MemberHealth(member.id, not reason, reason)
        model = self.made.net.controller.model
        self.made.net.until(lambda: model.get(MemberHealth, member.id) == wanted)


_SERVER = """
import socket, ssl, sys
kind, port, answer, certificate, name = sys.argv[1:]
if kind == "udp":
    listening = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    listening.bind(("::", int(port)))
    print("up", flush=True)
    while True:
        listening.recv(4096)
listening = socket.create_server(("::", int(port)), family=socket.AF_INET6, dualstack_ipv6=True)
context = None
if certificate:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    def named(stream, said, context):
        return None if said == name else ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
    context.sni_callback = named
print("up", flush=True)
kept = []
while True:
    stream, _ = listening.accept()
    if answer == "hangs":
        kept.append(stream)
        continue
    try:
        if context:
            stream = context.wrap_socket(stream, server_side=True)
        request = stream.recv(4096)
        if not name or f"Host: {name}\\r\\n".encode() in request:
            for octet in f"HTTP/1.1 {answer} X\\r\\nContent-Length: 0\\r\\n\\r\\n".encode():
                stream.sendall(bytes([octet]))
    except OSError:
        pass
    stream.close()
"""


def says(
    guest: Guest, port: int, answer: str, certificate: Path | None = None, name: str = ""
) -> subprocess.Popen[str]:
    """A server that answers each request with a status of HTTP, octet by octet; or "hangs". Who
    asks must know its ``name``."""
    return _started(guest, "tcp", port, answer, certificate or "", name)


def listens(guest: Guest, port: int) -> subprocess.Popen[str]:
    """Somebody who takes datagrams, and says nothing."""
    return _started(guest, "udp", port, "", "", "")


def _started(guest: Guest, *words: Any) -> subprocess.Popen[str]:
    server = guest.start(sys.executable, "-c", _SERVER, *words)
    assert server.stdout is not None
    assert server.stdout.readline() == "up\n"
    return server
