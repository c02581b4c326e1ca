# SPDX-License-Identifier: Apache-2.0

"""The records of security groups."""

from __future__ import annotations

from typing import ClassVar

from tenantry.controller.model import parse
from tenantry.controller.model.model import Indexes
from tenantry.controller.model.record import Body, record, stored
from tenantry.controller.model.values import Prefix


@record
class SecurityGroup:
    """Ports that have the same rules."""

    KIND: ClassVar = "security_group"
    INDEXES: ClassVar[Indexes] = ()

    id: str
    key: int  # small, unique, permanent
    project_id: str
    name: str
    stateful: bool


def _version(ethertype: str) -> int:
    return 4 if ethertype == "IPv4" else 6


def _is_ingress(direction: str) -> bool:
    return direction == "ingress"


def _remote_id(body: Body) -> str:
    return body["remote_group_id"] or body["remote_address_group_id"] or ""


@record
class SecurityGroupRule:
    """What may pass a port of a group: a connection that is begun in this direction, as the port
    sees it, from or to the remote end."""

    KIND: ClassVar = "security_group_rule"
    INDEXES: ClassVar[Indexes] = (
        ("security_group_id",),
        ("security_group_id", "ingress", "remote_id"),
        ("remote_id", "ingress", "security_group_id"),
    )

    id: str
    project_id: str
    security_group_id: str
    ingress: bool = stored("direction", _is_ingress)
    version: int = stored("ethertype", _version)
    protocol: int | None = stored("protocol_number")  # its IP protocol number; None: all
    # of the destination's ports, or the ICMP type; None: all
    first: int | None = stored("port_range_min")
    # of the destination's ports, or the ICMP code; None: all
    last: int | None = stored("port_range_max")
    remote_id: str = stored(of_body=_remote_id)  # security group or address group; or ""
    # a prefix of addresses; None: all
    remote_first: int | None = stored("normalized_cidr", parse.first_of, empty=None)
    remote_length: int = stored("normalized_cidr", parse.length_of, empty=0)


@record
class AddressGroup:
    """Addresses that rules name together."""

    KIND: ClassVar = "address_group"
    INDEXES: ClassVar[Indexes] = ()

    id: str
    key: int  # small, unique, permanent
    prefixes: tuple[Prefix, ...] = stored("addresses", parse.prefixes)
