# SPDX-License-Identifier: Apache-2.0

"""The records of what is there: observed, or made of what is observed, and in memory only.

Host, Switch and Interface are what OpenFlow and OVSDB say; a Binding is where a port and an
interface met (``binding.py``), a Former what an address was before (``previous.py``).
"""

from __future__ import annotations

from typing import ClassVar

from tenantry.controller.model.model import Indexes
from tenantry.controller.model.record import record
from tenantry.controller.model.values import Address


@record
class Host:
    """A machine with Open vSwitch, as its OVSDB describes itself."""

    INDEXES: ClassVar[Indexes] = ()

    id: str  # its name: external_ids:hostname, or its system-id


@record
class Switch:
    """A bridge that talks OpenFlow to us, or did and is expected back."""

    INDEXES: ClassVar[Indexes] = (("host",),)

    id: int  # datapath id
    name: str  # the bridge's name, or the datapath id where nobody told us
    host: str  # id of its Host; "" for a switch without OVSDB
    integration: bool = False  # the one of its host that we made, or have adopted


@record
class Interface:
    """A port of a switch, by its OpenFlow number."""

    INDEXES: ClassVar[Indexes] = (
        ("switch",),
        ("iface_id",),
        ("name",),
        ("switch", "physical_network"),
        ("physical_network", "switch"),
        ("service", "switch"),
        ("switch", "tunnel", "peer"),
        ("tunnel", "peer", "switch"),
    )

    id: tuple[int, str]  # datapath id, name
    switch: int
    name: str
    ofport: int
    host: str
    iface_id: str  # external_ids:iface-id, as Nova, libvirt and OVN set it; or ""
    physical_network: str  # external_ids:tenantry-physical-network; or ""
    service: bool = False  # external_ids:tenantry-service: the controller answers TCP there
    tunnel: str = ""  # external_ids:tenantry-tunnel: "vxlan" or "geneve", if it is one of ours
    peer: Address | None = None  # external_ids:tenantry-peer: where it leads; None: anywhere


@record
class Tunnel:
    """A tunnel whose health is watched (BFD), from the moment when its word counts: it has been up,
    or had the time to."""

    INDEXES: ClassVar[Indexes] = ()

    id: tuple[int, str]  # of its interface: datapath id, name


@record
class Health:
    """What one end of such a tunnel thinks of the other. No flows depend on it: switches see for
    themselves, at once and without us."""

    INDEXES: ClassVar[Indexes] = (("peer",),)

    id: tuple[int, str]  # of its interface
    switch: int
    peer: Address
    up: bool
    forwarding: bool  # it is up, and the other end takes packets


@record
class Option:
    """An option of the controller's that flows depend on: the same for as long as it runs."""

    INDEXES: ClassVar[Indexes] = ()

    id: str  # its name, as in the configuration
    value: int


@record
class Binding:
    """A port that is plugged in: which switch, which OpenFlow port. ``id`` is the port's.

    ``part`` is one of PARTS into which the ports of a network are dealt, so that what is done for
    all of them together (a flood) need not be done again as a whole for each that comes or goes.
    ``share`` is likewise one of SHARES, of all ports whatever their network.
    """

    INDEXES: ClassVar[Indexes] = (
        ("switch",),
        ("network_id",),
        ("switch", "network_id"),
        ("switch", "share"),
        ("network_id", "switch"),
        ("switch", "interface"),
        ("switch", "part"),
        ("switch", "network_id", "part"),
        ("trunk",),
        ("switch", "security_groups"),
        ("network_id", "security_groups", "switch"),
    )

    id: str
    network_id: str
    part: str  # network id and number: "NETWORK/7"
    switch: int
    interface: str
    host: str
    ofport: int
    security_groups: frozenset[str] = frozenset()
    vlan: int = 0  # of a trunk's sub-port: the tag of its frames there
    trunk: str = ""  # the trunk's id, or ""
    share: str = ""  # its number: "7"


@record
class Standby:
    """A second place where a port is plugged in, on a host that it may move to: all is ready there,
    but nothing is sent there yet."""

    INDEXES: ClassVar[Indexes] = (
        ("port_id",),
        ("switch", "port_id"),
        ("switch", "network_id"),
        ("switch", "interface"),
    )

    id: tuple[str, int]  # the port's, and the switch's
    port_id: str
    network_id: str
    switch: int
    interface: str
    host: str
    ofport: int


@record
class Placed:
    """Where the controller itself has a port plugged in, for a process on a worker's host. Should
    it be plugged in elsewhere, too, this is where it is: a host that is lost cannot let go."""

    INDEXES: ClassVar[Indexes] = ()

    id: str  # the port's
    host: str


@record
class ProcessState:
    """What the worker that has a process says of it."""

    INDEXES: ClassVar[Indexes] = (("worker",),)

    id: str  # the process's name
    worker: str  # its host
    state: str  # one of STATES (feature/processes.py)
    reason: str = ""  # in words, if it is not READY
    confirmed: str = ""  # the digest of what is wanted that it has last been READY with


@record
class Former:
    """Where an address was before: at which MAC address the hosts of its network may still look for
    it. In memory only."""

    INDEXES: ClassVar[Indexes] = (("network_id",),)

    id: tuple[str, int, int]  # the network's, IP version, address
    network_id: str
    mac: int


PARTS = 16
"""Parts of a network. A flow that copies to a whole part must fit 64 KiB: 32 bytes a port."""

SHARES = 64
"""A power of two. What is done for each share is done so often at most, however many ports a switch
has; and where they are some dozens, most are alone in theirs."""
