# SPDX-License-Identifier: Apache-2.0

"""Load balancers whose members are watched, and servers that answer as they are told."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from uuid import uuid4

from tenantry.apps.load_balancer import records
from tenantry.controller.model import Change
from tenantry.controller.model.record import parser
from tests.lab import Lab
from tests.namespace import Guest

_KEYS = itertools.count(1)

NAME = "web.example"


class Balanced:
    """A load balancer with its address on a network. Its pools have monitors that ask every
    second, and believe what they are told."""

    def __init__(self, net: Lab, network: Any, known_to: Iterable[Guest] = ()) -> None:
        self.net = net
        self.vip = net.port(network)
        first, *more = self.vip["fixed_ips"]
        self.id = self._add(
            records.LoadBalancer,
            vip_port_id=self.vip["id"],
            vip_network_id=network["id"],
            vip_subnet_id=first["subnet_id"],
            vip_address=first["ip_address"],
            additional_vips=more,
        )
        for guest in known_to:
            for ip in self.vip["fixed_ips"]:
                mac = self.vip["mac_address"]
                guest.run("ip", "neigh", "replace", ip["ip_address"], "lladdr", mac, "dev", "eth0")

    def _add(self, kind: Any, **attributes: Any) -> str:
        body = {"id": str(uuid4()), "key": next(_KEYS), "project_id": "demo", "name": ""}
        body |= {"admin_state_up": True, **attributes}
        self.net.controller.inbox.submit([Change(kind, body["id"], parser(kind)(body))])
        self.net.settle()
        return str(body["id"])

    def pool(self, **monitor: Any) -> str:
        pool = self._add(
            records.Pool, loadbalancer_id=self.id, protocol="TCP", lb_algorithm="ROUND_ROBIN"
        )
        plan = {"delay": 1, "timeout": 1, "max_retries": 1, "max_retries_down": 1}
        self._add(records.HealthMonitor, pool_id=pool, **{**plan, **monitor})
        return pool

    def member(self, pool: str, port: Any, number: int, **more: Any) -> str:
        address = port if isinstance(port, str) else port["fixed_ips"][0]["ip_address"]
        return self._add(
            records.Member,
            slot=0,
            pool_id=pool,
            address=address,
            protocol_port=number,
            **{"weight": 1, "backup": False, **more},
        )

    def until(self, member: str, reason: str = "") -> None:
        """Wait until it is found alive, or dead for a reason."""
        wanted = records.MemberHealth(member, not reason, reason)
        model = self.net.controller.model
        self.net.until(lambda: model.get(records.MemberHealth, member) == wanted)


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
