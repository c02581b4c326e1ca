"""Rows of OVSDB as values: the interfaces that features want on a switch beside its flows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

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
