"""Derived queries that more than one feature asks."""

from __future__ import annotations

from controller.model.records import Binding
from controller.model.view import View, derived


@derived
def networks_on(view: View, switch: int) -> frozenset[str]:
    """The networks that have a port on this switch: only they concern it."""
    return view.distinct(Binding, "network_id", switch=switch)
