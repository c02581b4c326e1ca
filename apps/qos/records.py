# SPDX-License-Identifier: Apache-2.0

"""Records of quality of service: the rules of policies, and whose policy is whose.

``egress`` is what a port, a floating IP or a gateway sends, ``ingress`` what it gets: seen from the
guest, of floating IPs and gateways from the inside, as in Neutron.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, NamedTuple

from neutron_lib.constants import DEVICE_OWNER_PREFIXES, EGRESS_DIRECTION, INGRESS_DIRECTION

from tenantry.controller.model import (
    Agent,
    Bandwidth,
    Binding,
    Network,
    Port,
    Switch,
    View,
    derived,
    networks_with_ports,
)
from tenantry.controller.model.model import Indexes
from tenantry.controller.model.record import record, stored
from tenantry.controller.network.records import FloatingIp, Router
from tenantry.controller.network.tunnels import segments

EGRESS, INGRESS = EGRESS_DIRECTION, INGRESS_DIRECTION
ANY = "any"
"""Of a minimum packet rate: both directions together."""


def _thousands(value: Any) -> int:
    return 1000 * int(value)


@record
class BandwidthLimit:
    """The most that passes in one direction."""

    KIND: ClassVar = "bandwidth_limit_rule"
    INDEXES: ClassVar[Indexes] = (("policy_id",),)

    id: str
    policy_id: str
    direction: str
    kbps: int = stored("max_kbps", empty=0)  # 1000 bit/s; 0: no limit
    burst: int = stored("max_burst_kbps", empty=0)  # 1000 bit; 0: as much as TCP needs


@record
class PacketRateLimit:
    """The most packets that pass in one direction."""

    KIND: ClassVar = "packet_rate_limit_rule"
    INDEXES: ClassVar[Indexes] = (("policy_id",),)

    id: str
    policy_id: str
    direction: str
    pps: int = stored("max_kpps", _thousands, empty=0)  # packets/s; 0: no limit
    burst: int = stored("max_burst_kpps", _thousands, empty=0)  # packets; 0: nobody has said


@record
class DscpMarking:
    """The differentiated services code point (RFC 2474) that what is sent gets."""

    KIND: ClassVar = "dscp_marking_rule"
    INDEXES: ClassVar[Indexes] = (("policy_id",),)

    id: str
    policy_id: str
    dscp: int = stored("dscp_mark", empty=0)


@record
class MinimumBandwidth:
    """What passes in one direction, whatever others send."""

    KIND: ClassVar = "minimum_bandwidth_rule"
    INDEXES: ClassVar[Indexes] = (("policy_id",),)

    id: str
    policy_id: str
    direction: str
    kbps: int = stored("min_kbps", empty=0)  # 1000 bit/s


class Rates(NamedTuple):
    """What a policy says of one direction; 0: nothing."""

    kbps: int = 0
    burst: int = 0  # 1000 bit
    pps: int = 0
    packet_burst: int = 0
    min_kbps: int = 0


class Rules(NamedTuple):
    """What a policy says, all rules together."""

    egress: Rates = Rates()
    ingress: Rates = Rates()
    dscp: int | None = None


NO_RULES = Rules()


@derived
def rules_of(view: View, policy_id: str) -> Rules:
    """What a policy says. There is one rule of a type and direction."""
    said: dict[str, dict[str, int]] = {EGRESS: {}, INGRESS: {}}
    for limit in view.find(BandwidthLimit, policy_id=policy_id):
        said[limit.direction] |= {"kbps": limit.kbps, "burst": limit.burst}
    for packets in view.find(PacketRateLimit, policy_id=policy_id):
        said[packets.direction] |= {"pps": packets.pps, "packet_burst": packets.burst}
    for least in view.find(MinimumBandwidth, policy_id=policy_id):
        said[least.direction] |= {"min_kbps": least.kbps}
    marks = [marking.dscp for marking in view.find(DscpMarking, policy_id=policy_id)]
    return Rules(Rates(**said[EGRESS]), Rates(**said[INGRESS]), marks[0] if marks else None)


def is_networks(device_owner: str) -> bool:
    """Whether a port serves its network (a router's, say), so that the network's policy is not for
    it."""
    return device_owner.startswith(DEVICE_OWNER_PREFIXES)


@derived
def policy_of_port(view: View, port_id: str) -> str:
    """The policy that holds for a port, or "": its own, or else its network's, for guests."""
    port = view.get(Port, port_id)
    if port is None or port.qos_policy_id or is_networks(port.device_owner):
        return port.qos_policy_id if port else ""
    return policy_of_network(view, port.network_id)


@derived
def policy_of_network(view: View, network_id: str) -> str:
    """The policy of a network, or "" for none."""
    network = view.get(Network, network_id)
    return network.qos_policy_id if network else ""


@derived
def policy_of_floating_ip(view: View, id: str) -> str:
    """The policy that holds for a floating IP, or "": its own, or else that of its network."""
    floating = view.get(FloatingIp, id)
    if floating is None:
        return ""
    return floating.qos_policy_id or policy_of_network(view, floating.network_id)


@derived
def policy_of_gateway(view: View, router_id: str) -> str:
    """The policy that holds for a router's gateway, or "": its own, or else that of the external
    network."""
    router = view.get(Router, router_id)
    gateway = view.get(Port, router.gateway_port_id) if router and router.gateway_port_id else None
    if router is None or gateway is None:
        return ""
    return router.qos_policy_id or policy_of_network(view, gateway.network_id)


@derived
def rules_of_port(view: View, port_id: str) -> Rules:
    """What holds for a port."""
    return _rules(view, policy_of_port(view, port_id))


class Queue(NamedTuple):
    """What a port may send to a wire whatever others do."""

    number: int  # of the queue; 0 is everybody else's
    kbps: int


MOST_QUEUES = 0xF000
"""Numbers of queues that Linux has handles for end below (lib/netdev-linux.c of Open vSwitch)."""


@derived
def queues_to(view: View, switch: int, wire: str) -> Mapping[str, Queue]:
    """The queues that ports on a switch have to a physical network. What no longer fits what the
    host carries is not promised: those that have been there for long have theirs first."""
    left = _carried(view, switch, wire)
    found: dict[str, Queue] = {}
    for _, id, queue in sorted(_wanted(view, switch, wire)) if left else ():
        if queue.kbps <= left:
            left -= queue.kbps
            found[id] = queue
    return found


def _wanted(view: View, switch: int, wire: str) -> Iterator[tuple[int, str, Queue]]:
    """By port, with its key. A trunk's sub-port has no port of the switch of its own."""
    for network_id in networks_with_ports(view, switch):
        if all(segment.physical_network != wire for segment in segments(view, network_id)):
            continue
        for binding in view.find(Binding, switch=switch, network_id=network_id):
            kbps, port = rules_of_port(view, binding.id).egress.min_kbps, view.get(Port, binding.id)
            if kbps and port and not binding.vlan and binding.ofport < MOST_QUEUES:
                yield port.key, port.id, Queue(binding.ofport, kbps)


def bandwidths(view: View, switch: int) -> tuple[Bandwidth, ...]:
    """What the host of an integration bridge says that it carries."""
    record = view.get(Switch, switch)
    if record is None or not record.integration:
        return ()
    return next((agent.bandwidths for agent in view.find(Agent, host=record.host, l3=False)), ())


@derived
def _carried(view: View, switch: int, wire: str) -> int:
    said = bandwidths(view, switch)
    return next((each.kbps for each in said if each.physical_network == wire), 0)


@derived
def queue_of(view: View, switch: int, port_id: str) -> Queue | None:
    """The queue of a port on a switch, to whichever wire its network has there."""
    port = view.get(Port, port_id)
    if port is None or not rules_of_port(view, port_id).egress.min_kbps:
        return None
    for segment in segments(view, port.network_id):
        queues = queues_to(view, switch, segment.physical_network or "")
        if port_id in queues:
            return queues[port_id]
    return None


@derived
def limits_what_enters(view: View, port_id: str) -> bool:
    """Whether a port gets no more than so much: a meter of its own may drop what is for it."""
    rates = rules_of_port(view, port_id).ingress
    return bool(rates.kbps or rates.pps)


@derived
def rules_of_floating_ip(view: View, id: str) -> Rules:
    """What holds for a floating IP."""
    return _rules(view, policy_of_floating_ip(view, id))


@derived
def rules_of_gateway(view: View, router_id: str) -> Rules:
    """What holds for what a router's gateway translates to its own address, or routes as it is."""
    return _rules(view, policy_of_gateway(view, router_id))


def _rules(view: View, policy_id: str) -> Rules:
    return rules_of(view, policy_id) if policy_id else NO_RULES
