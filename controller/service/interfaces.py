# SPDX-License-Identifier: Apache-2.0

"""What interfaces are to be like: the MTU and hints of those that are plugged in, and those and
other rows that features want in a switch's OVSDB."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Protocol, cast

from tenantry.controller.engine.engine import Engine
from tenantry.controller.feature.ovsdb_rows import Plugged, Row
from tenantry.controller.model import Binding, Change, Interface, Model, Network, Port, Switch
from tenantry.controller.service.follower import Follower, Passed
from tenantry.controller.switch.inventory import Inventory


class Hosts(Protocol):
    """Who writes it, by the ``remote`` of a host's OVSDB."""

    def set_plugged(self, remote: str, wanted: Mapping[str, Plugged]) -> None: ...

    def set_rows(self, remote: str, rows: frozenset[Row]) -> None: ...


def plugged(model: Model, port_id: str) -> Plugged | None:
    """What a port wants of the interface that it is bound to; None if it is bound to none, or to
    that of its trunk, which is another port's."""
    binding, port = model.get(Binding, port_id), model.get(Port, port_id)
    network = model.get(Network, binding.network_id) if binding else None
    if not (binding and port and network) or binding.vlan:
        return None
    return Plugged(network.mtu, port.tx_steering)


class Interfaces(Follower):
    """Tells hosts what follows from the model."""

    def __init__(self, engine: Engine, inventory: Inventory, hosts: Hosts) -> None:
        self._engine = engine
        self._model = engine.model
        self._inventory = inventory
        self._hosts = hosts
        self._set: dict[Hashable, Plugged] = {}  # what an interface was given

    def passed(self, passed: Passed) -> None:
        self._set_plugged(passed.taken)
        self._want_rows(passed.taken)

    def _set_plugged(self, changes: Iterable[Change]) -> None:
        """Interfaces get the MTU of the network that they are plugged into, and what their port
        hints at. What was set once is not set again: an interface that somebody gives another value
        keeps it."""
        concerned: set[str] = set()
        for change in changes:
            if change.type is Port:
                concerned.add(str(change.id))
            elif change.type is Network:
                concerned |= self._model.ids(Binding, ("network_id",), (change.id,))
            elif change.type is Interface:
                if change.record is None:
                    self._set.pop(change.id, None)
                at = cast("tuple[int, str]", change.id)
                concerned |= self._model.ids(Binding, ("switch", "interface"), at)
        by_remote: dict[str, dict[str, Plugged]] = {}
        for port_id in concerned:
            binding, wanted = self._model.get(Binding, port_id), plugged(self._model, port_id)
            remote = self._inventory.remote(binding.switch) if binding else None
            if binding and wanted and remote:
                at = (binding.switch, binding.interface)
                if self._set.get(at) != wanted:
                    self._set[at] = wanted
                    by_remote.setdefault(remote, {})[binding.interface] = wanted
        for remote, interfaces in by_remote.items():
            self._hosts.set_plugged(remote, interfaces)

    def _want_rows(self, changes: Iterable[Change]) -> None:
        """Tell of the rows that are wanted on switches: where others are by now, and where a
        database is heard of, perhaps again."""
        touched, self._engine.rows_touched = self._engine.rows_touched, set()
        heard = {cast("int", change.id) for change in changes if change.type is Switch}
        # What is plugged in is to be kept apart, should the switch ever forward by itself.
        plugged = {c.record.switch for c in changes if isinstance(c.record, Interface)}
        for switch in touched | heard | plugged:
            remote, record = self._inventory.remote(switch), self._model.get(Switch, switch)
            if remote is not None and record is not None and record.integration:
                self._hosts.set_rows(remote, self._engine.rows(switch))
