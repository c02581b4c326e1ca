# SPDX-License-Identifier: Apache-2.0

"""What interfaces are to be like: the MTU of those that are plugged in, and those that features
want on a switch."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Protocol, cast

from tenantry.controller.engine.engine import Engine
from tenantry.controller.feature.ovsdb_rows import InterfaceRow
from tenantry.controller.model import Binding, Change, Interface, Network, Port, Switch
from tenantry.controller.service.follower import Follower, Passed
from tenantry.controller.switch.inventory import Inventory


class Hosts(Protocol):
    """Who writes it, by the ``remote`` of a host's OVSDB."""

    def set_mtus(self, remote: str, mtus: Mapping[str, int]) -> None: ...

    def set_rows(self, remote: str, rows: frozenset[InterfaceRow]) -> None: ...


class Interfaces(Follower):
    """Tells hosts what follows from the model."""

    def __init__(self, engine: Engine, inventory: Inventory, hosts: Hosts) -> None:
        self._engine = engine
        self._model = engine.model
        self._inventory = inventory
        self._hosts = hosts
        self._sized: dict[Hashable, int] = {}  # the MTU that an interface was given

    def passed(self, passed: Passed) -> None:
        self._size(passed.taken)
        self._want_rows(passed.taken)

    def _size(self, changes: Iterable[Change]) -> None:
        """Interfaces get the MTU of the network that they are plugged into. What was set once is
        not set again: an interface that somebody gives another one keeps it."""
        resized: set[str] = set()
        for change in changes:
            if change.type is Port:
                resized.add(str(change.id))
            elif change.type is Network:
                resized |= self._model.ids(Binding, ("network_id",), (change.id,))
            elif change.type is Interface:
                if change.record is None:
                    self._sized.pop(change.id, None)
                at = cast("tuple[int, str]", change.id)
                resized |= self._model.ids(Binding, ("switch", "interface"), at)
        by_remote: dict[str, dict[str, int]] = {}
        for port_id in resized:
            binding = self._model.get(Binding, port_id)
            network = self._model.get(Network, binding.network_id) if binding else None
            remote = self._inventory.remote(binding.switch) if binding else None
            if binding and network and remote and not binding.vlan:  # a trunk's is its parent's
                at = (binding.switch, binding.interface)
                if self._sized.get(at) != network.mtu:
                    self._sized[at] = network.mtu
                    by_remote.setdefault(remote, {})[binding.interface] = network.mtu
        for remote, mtus in by_remote.items():
            self._hosts.set_mtus(remote, mtus)

    def _want_rows(self, changes: Iterable[Change]) -> None:
        """Tell of the interfaces that are wanted on switches: where others are by now, and where a
        database is heard of, perhaps again."""
        touched, self._engine.rows_touched = self._engine.rows_touched, set()
        heard = {cast("int", change.id) for change in changes if change.type is Switch}
        # What is plugged in is to be kept apart, should the switch ever forward by itself.
        plugged = {c.record.switch for c in changes if isinstance(c.record, Interface)}
        for switch in touched | heard | plugged:
            remote, record = self._inventory.remote(switch), self._model.get(Switch, switch)
            if remote is not None and record is not None and record.integration:
                self._hosts.set_rows(remote, self._engine.rows(switch))
