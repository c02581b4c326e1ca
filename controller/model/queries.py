"""Queries that more than one feature asks."""

from __future__ import annotations

from controller.model.records import Binding
from controller.model.view import View, derived


@derived
def networks_on(view: View, switch: int) -> frozenset[str]:
    """The networks that have a port on this switch: only they concern it."""
    return view.distinct(Binding, "network_id", switch=switch)


def ports_on(view: View, switch: int) -> frozenset[str]:
    """The ports that are plugged into this switch."""
    return view.ids(Binding, switch=switch)


def parts_on(view: View, switch: int) -> frozenset[str]:
    """The parts (see Binding) of networks that have a port on this switch."""
    return view.distinct(Binding, "part", switch=switch)
