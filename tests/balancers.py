# SPDX-License-Identifier: Apache-2.0

"""Load balancers for tests of what the switches do: their records, put straight into the model."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import Any, TypeVar
from uuid import uuid4

from tenantry.apps.load_balancer.records import (
    ROUND_ROBIN,
    TIMEOUTS,
    UNLIMITED,
    Listener,
    LoadBalancer,
    Member,
    MemberHealth,
    Pool,
)
from tenantry.controller.model import Change, parse
from tests.lab import Lab

T = TypeVar("T")


class Balancers:
    """Makes them; each of ``networks``'s is its own."""

    def __init__(self, net: Lab) -> None:
        self.net = net
        self._keys = count(5_000)  # nobody else's: routers' begin with 1
        self._small = count(1)

    def put(self, record: T) -> T:
        """It is so from the next pass on; :meth:`Lab.settle` waits for that."""
        id = record.id  # type: ignore[attr-defined]
        self.net.controller.running.learn(Change(type(record), id, record))  # type: ignore[arg-type]
        return record

    def change(self, record: T, **changes: Any) -> T:
        return self.put(replace(record, **changes))  # type: ignore[type-var]

    def remove(self, record: Any) -> None:
        self.net.controller.running.learn(Change(type(record), record.id, None))

    def balancer(self, network: Any) -> LoadBalancer:
        """One that has an address of each subnet of a network."""
        id, project = str(uuid4()), network["project_id"]
        port = self.net.port(
            network, device_owner="Octavia", device_id=f"lb-{id}", port_security_enabled=False
        )
        return self.put(
            LoadBalancer(
                *(id, next(self._keys), project, "web", port["id"], network["id"]),
                *(parse.fixed_ips(port["fixed_ips"]), True),
            )
        )

    def pool(
        self, balancer: LoadBalancer, protocol: str, algorithm: str = ROUND_ROBIN, **more: Any
    ) -> Pool:
        of = (balancer.project_id, balancer.id, protocol, algorithm, True)
        return self.put(Pool(str(uuid4()), next(self._small), *of, **more))

    def listener(self, pool: Pool, port: int, **more: Any) -> Listener:
        of = (pool.project_id, pool.load_balancer_id, pool.protocol, port, True, UNLIMITED)
        usual = (*TIMEOUTS.values(), pool.id)
        return self.put(Listener(str(uuid4()), next(self._small), *of, *usual, **more))

    def member(self, pool: Pool, slot: int, address: str, port: int, **more: Any) -> Member:
        of = (pool.project_id, "", pool.id, parse.address(address).version, parse.ip(address), port)
        said = {"weight": 1, "backup": False, "admin_state_up": True, **more}
        return self.put(Member(str(uuid4()), next(self._small), slot, *of, **said))

    def members(self, pool: Pool, addresses: list[str], port: int, **more: Any) -> list[Member]:
        return [
            self.member(pool, slot, address, port, **more) for slot, address in enumerate(addresses)
        ]

    def judge(self, member: Member, alive: bool) -> None:
        """What a monitor would have found out."""
        self.put(MemberHealth(member.id, alive, "" if alive else "refused"))


def vip(balancer: LoadBalancer, version: int = 4) -> str:
    """The address of one, as text."""
    from ipaddress import IPv4Address, IPv6Address

    number = next(one.address for one in balancer.vips if one.version == version)
    return str(IPv4Address(number) if version == 4 else IPv6Address(number))
