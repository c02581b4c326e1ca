"""What features that judge connections have in common."""

from __future__ import annotations

from controller.flow import CT_INVALID, CT_TRACKED, Action, Move, Resubmit, SetField
from controller.frames import ICMP, ICMPV6, IPV4, IPV6, TCP, UDP
from controller.pipeline import DECISION, INGRESS_POLICY, POLICY, Table

TRACKABLE = ((IPV4, TCP), (IPV4, UDP), (IPV4, ICMP), (IPV6, TCP), (IPV6, UDP), (IPV6, ICMPV6))
"""What connection tracking knows in every datapath. Other protocols are judged packet by packet."""

STATE = (CT_TRACKED, CT_TRACKED | CT_INVALID)
"""ct_state of what has a connection: a match on the connection must say that there is one."""


def judged(field: str, *, ingress: bool) -> tuple[Action, ...]:
    """Ask the firewall of the port whose key is in a field; what it decides is in DECISION."""
    return (SetField(DECISION, 0), *also_judged(field, ingress=ingress))


def also_judged(field: str, *, ingress: bool) -> tuple[Action, ...]:
    """Ask one more."""
    which = SetField(POLICY, INGRESS_POLICY if ingress else 0)
    return (which, Move(field, POLICY, 24), Resubmit(Table.FIREWALL_PORT))
