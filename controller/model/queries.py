# SPDX-License-Identifier: Apache-2.0

"""Queries that more than one feature asks."""

from __future__ import annotations

from tenantry.controller.model.observed import Binding, Standby
from tenantry.controller.model.view import View, derived


@derived
def networks_with_ports(view: View, switch: int) -> frozenset[str]:
    """The networks that have a port on this switch."""
    standing_by = view.distinct(Standby, "network_id", switch=switch)
    return view.distinct(Binding, "network_id", switch=switch) | standing_by


def ports_on(view: View, switch: int) -> frozenset[str]:
    """The ports that are plugged into this switch, those that stand by among them."""
    standing_by = view.distinct(Standby, "port_id", switch=switch)
    return view.ids(Binding, switch=switch) | standing_by


def parts_on(view: View, switch: int) -> frozenset[str]:
    """The parts (see Binding) of networks that have a port on this switch."""
    return view.distinct(Binding, "part", switch=switch)


def shares_on(view: View, switch: int) -> frozenset[str]:
    """The shares (see Binding) that have a port on this switch."""
    return view.distinct(Binding, "share", switch=switch)
