# SPDX-License-Identifier: Apache-2.0

"""Rows of OVSDB as values: what features, and the controller itself, want of a switch beside its
flows. What is there is read as the same values, so that the two can be compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

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
    if isinstance(value, tuple):
        return " ".join(f"{key}={text}" for key, text in value if text)
    return str(value)
