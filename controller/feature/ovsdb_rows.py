# SPDX-License-Identifier: Apache-2.0

"""Rows of OVSDB as values: what features, and the controller itself, want of a switch beside its
flows. What is there is read as the same values, so that the two can be compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

Columns = tuple[tuple[str, str], ...]
"""A map column, sorted by key."""


def columns(values: Mapping[str, str]) -> Columns:
    return tuple(sorted(values.items()))


class InterfaceRow(NamedTuple):
    """An interface of ours, alone in a port of its name. See ovs-vswitchd.conf.db(5), Interface."""

    name: str  # at most 15 characters, as OpenFlow cuts what is longer
    bridge: str
    type: str
    options: Columns = ()
    external_ids: Columns = ()
    bfd: Columns = ()
    mac: str = ""  # "" is Open vSwitch's choice
    mtu: int = 0  # likewise 0


class Named(NamedTuple):
    """A row of another table that is found by its name, whosever it is: Bridge or Port."""

    table: str
    name: str


Values: TypeAlias = tuple[tuple[str, "frozenset[Any] | tuple[tuple[Any, Any], ...]"], ...]
"""Columns by name, sorted: a set of members (a column of one value is a set of one), or the pairs
of a map. A member is a text, a number, a truth value, a :class:`Named` or a :class:`Part`."""


class Part(NamedTuple):
    """A row that one of ours alone leads to: a Queue of a QoS, say."""

    table: str
    columns: Values


class AttachedRow(NamedTuple):
    """A row of ours without ports of its own: sFlow, NetFlow, IPFIX, Mirror, QoS, or
    Flow_Sample_Collector_Set. See ovs-vswitchd.conf.db(5) for their columns; what is not said there
    is as Open vSwitch has it by default. While one of the rows that it names is not there, nor is
    it."""

    name: str  # ours for it, of one row a switch
    table: str
    columns: Values
    at: Named | None = None  # what leads to it,
    column: str = ""  # by this column; of tables whose rows stand alone, nothing does


Row: TypeAlias = InterfaceRow | AttachedRow


def values(**columns: Any) -> Values:
    """Columns of a row; None, and what is empty, is not said."""
    return tuple(
        (name, _value(value))
        for name, value in sorted(columns.items())
        if value is not None and value != "" and value != [] and value != {}
    )


def _value(value: Any) -> frozenset[Any] | tuple[tuple[Any, Any], ...]:
    if isinstance(value, dict):
        return tuple(sorted(value.items()))
    is_several = isinstance(value, list | set | frozenset)
    return frozenset(value if is_several else (value,))


class Plugged(NamedTuple):
    """What is ours of an interface that somebody else has plugged in."""

    mtu: int
    tx_steering: str = ""
    """"thread", "hash", or "", Open vSwitch's choice: which queue of a userspace datapath a packet
    is sent by. See ovs-vswitchd.conf.db(5), Interface, ``other_config:tx-steering``."""


class BridgeRow(NamedTuple):
    """A bridge that a controller owns. See ovs-vswitchd.conf.db(5), Bridge and Controller."""

    name: str
    datapath_type: str
    store: str  # the identity of the store whose controller owns it; "" is nobody's
    controllers: frozenset[Columns]  # whom it connects to, each with all that says how
    fail_mode: str = "secure"  # a switch without us stays closed, and keeps its flows
    protocols: frozenset[str] = frozenset({"OpenFlow14"})
    stp_enable: bool = False  # it keeps flows from ports
    rstp_enable: bool = False


def difference(name: str, there: NamedTuple | None, wanted: NamedTuple) -> str:
    """What somebody has done to a row that was as wanted, in words."""
    if there is None:
        return f"{name} was deleted"
    fields = [
        f"{field.replace('_', ' ')} was {_shown(found) or 'none'}"
        for field, found, right in zip(there._fields, there, wanted, strict=True)
        if found != right
    ]
    return f"{name} was changed ({', '.join(fields)})"


def _shown(value: Any) -> str:
    if isinstance(value, frozenset):
        return " and ".join(sorted(map(_shown, value)))
    if isinstance(value, Named | Part):
        return " ".join(filter(None, map(_shown, value)))
    if isinstance(value, tuple):
        return " ".join(f"{key}={_shown(text)}" for key, text in value if text)
    return "" if value is None else str(value)
