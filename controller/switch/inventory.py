# SPDX-License-Identifier: Apache-2.0

"""What is plugged in where: OpenFlow's ports and OVSDB's words about them, joined into records.

OpenFlow tells a switch's ports (number and name); the host's OVSDB tells what an interface of that
name is for (``external_ids``). Either may come first, and a switch may have no OVSDB that we know;
then it must not be programmed before every OVSDB that was configured has had its say, or ports
would be taken for unplugged. A lost connection changes nothing here: the packets still flow.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Collection, Iterable, Mapping

from tenantry.controller import runtime
from tenantry.controller.model import Address, Change, Health, Host, Interface, Switch, Tunnel
from tenantry.controller.model.binding import dpid_text

PHYSICAL_NETWORK = "tenantry-physical-network"
"""The key in an Interface's ``external_ids`` that names the physical network it leads to."""

SERVICE = "tenantry-service"
"""The key that marks the service port, by which guests' TCP reaches the controller."""

TUNNEL, PEER = "tenantry-tunnel", "tenantry-peer"
"""The keys that say of which type a tunnel of ours is, and to which address it leads, if to one."""

PROVEN_SECONDS = 3.0
"""How long a tunnel may take to come up: what it says before that means nothing."""

OPENFLOW_NAME_LENGTH = 15
"""OpenFlow cuts the names of ports to this many bytes (OFP_MAX_PORT_NAME_LEN less the NUL)."""


class Inventory:
    """Collects what is observed and emits it as changes of Host, Switch and Interface."""

    def __init__(
        self,
        remotes: Iterable[str],
        emit: Callable[[list[Change]], None],
        physical_interfaces: Mapping[str, str],
        *,
        remembered: Mapping[str, Collection[int]] | None = None,
        awaited: Collection[str] | None = None,
        hosts_join: bool = False,
        integration_bridge: str = "",
    ) -> None:
        """``remotes``: the OVSDB connections to wait for. ``physical_interfaces``: physical
        network by interface name, for switches whose OVSDB we do not know. ``remembered``: the
        switches of those that have joined before; ``awaited``: which of these to wait for, too, if
        not all. ``hosts_join``: whether others may come."""
        self._emit = emit
        self._physical_interfaces = physical_interfaces
        self._remembered = dict(remembered or {})
        self._integration_bridge = integration_bridge
        self._awaited = {*remotes, *(self._remembered if awaited is None else awaited)}
        self._hosts_join = hosts_join
        self._hosts: dict[str, str] = {}  # remote: host
        self._bridges: dict[str, dict[int, str]] = {}  # remote: datapath id: bridge name
        self._external: dict[str, dict[str, Mapping[str, str]]] = {}  # remote: interface: ids
        self._ports: dict[int, dict[str, int]] = {}  # datapath id: interface: number
        self._names: dict[int, dict[int, str]] = {}  # the same the other way round
        self._controlled: dict[str, frozenset[int]] = {}  # remote: datapath ids
        self._others: dict[str, frozenset[int]] = {}  # remote: datapath ids
        self.left_alone: dict[str, str] = {}
        """The OVSDB connections that are there, but not ours to write to: why."""
        self._told: dict[int, set[str]] = {}  # switches and interfaces that have records
        self._tunnels: dict[tuple[int, str], bool] = {}  # that are watched: their word counts

    # --- from OpenFlow -----------------------------------------------------------------------

    def ports(self, dpid: int, ports: Mapping[int, str]) -> None:
        """These are all ports of a switch."""
        self._ports[dpid] = {name: number for number, name in ports.items()}
        self._names[dpid] = dict(ports)
        self._tell([dpid])

    def port(self, dpid: int, number: int, name: str | None) -> None:
        """One port of a switch is there, or is gone (None). Costs the same however many others
        there are."""
        ports = self._ports.setdefault(dpid, {})
        names = self._names.setdefault(dpid, {})
        before = names.pop(number, None)
        gone = before is not None and before != name and ports.get(before) == number
        if before is not None and gone:
            del ports[before]
        if name is not None:
            names[number] = name
            ports[name] = number
        if dpid not in self._told:
            return
        told = self._told[dpid]
        changes = []
        if before is not None and gone:
            told.discard(before)
            changes.append(Change(Interface, (dpid, before), None))
        if name is not None:
            told.add(name)
            changes.append(Change(Interface, (dpid, name), self._interface(dpid, name)))
        self._emit(changes)

    # --- from OVSDB --------------------------------------------------------------------------

    def synced(
        self,
        remote: str,
        host: str,
        bridges: Mapping[int, str],
        interfaces: Mapping[str, Mapping[str, str]],
        controlled: Collection[int] = (),
    ) -> None:
        """All that an OVSDB says, after it connected (again). ``controlled`` are the bridges that
        are told to connect to a controller."""
        self._controlled[remote] = frozenset(controlled)
        self._remembered.pop(remote, None)
        self._others.pop(remote, None)
        self.left_alone.pop(remote, None)
        before = self._bridges.get(remote, {})
        name_before = self._hosts.get(remote, host)
        self._hosts[remote] = host
        self._bridges[remote] = dict(bridges)
        self._external[remote] = {
            name[:OPENFLOW_NAME_LENGTH]: ids for name, ids in interfaces.items()
        }
        self._awaited.discard(remote)
        gone = [change for dpid in before.keys() - bridges.keys() for change in self._gone(dpid)]
        self._emit([Change(Host, host, Host(host)), *gone])
        self._tell(self._ports if not self._awaited else bridges)
        if name_before not in self._hosts.values():
            self._emit([Change(Host, name_before, None)])

    def bridges(
        self, remote: str, bridges: Mapping[int, str], controlled: Collection[int] = ()
    ) -> None:
        """The bridges of an OVSDB, by datapath id, are now these. One that is gone is no switch any
        more."""
        gone = self._bridges[remote].keys() - bridges.keys()
        self._bridges[remote] = dict(bridges)
        self._controlled[remote] = frozenset(controlled)
        self._emit([change for dpid in gone for change in self._gone(dpid)])
        self._tell(bridges)

    def interface(self, remote: str, name: str, external_ids: Mapping[str, str] | None) -> None:
        """What one interface is for has changed; None if it is gone."""
        name = name[:OPENFLOW_NAME_LENGTH]
        if external_ids is None:
            self._external[remote].pop(name, None)
        else:
            self._external[remote][name] = external_ids
        changes = [
            Change(Interface, (dpid, name), self._interface(dpid, name))
            for dpid in self._bridges[remote]
            if name in self._told.get(dpid, ())
        ]
        if changes:
            self._emit(changes)

    def tunnel(self, remote: str, name: str, status: Mapping[str, str] | None) -> None:
        """What one interface says of its health (``bfd_status``); None if that is not watched."""
        for dpid in self._bridges[remote]:
            id = (dpid, name)
            peer = _address(self._external[remote].get(name, {}).get(PEER, ""))
            if status is not None and peer is not None:
                up = status.get("state") == "up"
                health = Health(id, dpid, peer, up, up and status.get("forwarding") == "true")
                self._emit([Change(Health, id, health)])
                if up or int(status.get("flap_count") or 0):
                    self._prove(id)
                elif id not in self._tunnels:
                    self._tunnels[id] = False
                    runtime.spawn_after(PROVEN_SECONDS, self._prove_late, id)
            elif id in self._tunnels:
                del self._tunnels[id]
                self._emit([Change(Health, id, None), Change(Tunnel, id, None)])

    def _prove(self, id: tuple[int, str]) -> None:
        if not self._tunnels.get(id):
            self._tunnels[id] = True
            self._emit([Change(Tunnel, id, Tunnel(id))])

    def _prove_late(self, id: tuple[int, str]) -> None:
        if id in self._tunnels:
            self._prove(id)

    def give_up(self) -> None:
        """Wait no longer for hosts that have joined before. Their switches stay as they are. A
        switch that no host has named by now is on none."""
        self._awaited -= self._remembered.keys()
        self._hosts_join = False
        self._tell(list(self._ports))

    def leave(self, remote: str, why: str, others: Collection[int] | None = None) -> None:
        """An OVSDB is left alone, ``why`` in words. ``others``: its switches, which are somebody
        else's; None: it was removed, and is not waited for."""
        self.left_alone[remote] = why
        self._others[remote] = frozenset(others or ())
        if others is None and remote in self._awaited:
            self._awaited.discard(remote)
            self._tell(list(self._ports))

    def forget(self, host: str) -> None:
        """A host was removed, with all that is there."""
        for remote in [name for name in self._remembered if name.partition(":")[2] == host]:
            del self._remembered[remote]
            self._awaited.discard(remote)
        for remote in [remote for remote, name in self._hosts.items() if name == host]:
            dpids = self._bridges.pop(remote)
            del self._hosts[remote], self._external[remote]
            self._controlled.pop(remote, None)
            changes = [change for dpid in dpids for change in self._gone(dpid)]
            self._emit([*changes, Change(Host, host, None)])

    def _gone(self, dpid: int) -> list[Change]:
        """A switch is gone, with all that was there."""
        names = self._told.pop(dpid, set())
        self._ports.pop(dpid, None)
        self._names.pop(dpid, None)
        changes: list[Change] = []
        for name in names:
            self._tunnels.pop((dpid, name), None)
            gone = (Interface, Health, Tunnel)
            changes += [Change(kind, (dpid, name), None) for kind in gone]
        return [*changes, Change(Switch, dpid, None)]

    # --- asked by operators ------------------------------------------------------------------

    def waiting_for(self) -> list[str]:
        """The OVSDB connections that have not had their say."""
        return sorted(self._awaited - self.left_alone.keys())

    def missing(self) -> set[int]:
        """Switches that an OVSDB names and tells to connect, but that never did."""
        return set[int]().union(*self._controlled.values()) - self._ports.keys()

    def unseen(self) -> list[str]:
        """Integration bridges that an OVSDB has, and that never connected; in words."""
        return [
            f"{name} on {self._hosts[remote]}"
            for remote, bridges in self._bridges.items()
            for dpid, name in bridges.items()
            if name == self._integration_bridge and dpid not in self._ports
        ]

    # --- records -----------------------------------------------------------------------------

    def names(self, dpid: int) -> Collection[str]:
        """The ports that a switch has."""
        return self._ports.get(dpid, {}).keys()

    def remote(self, dpid: int) -> str | None:
        """The OVSDB that a switch is in, if it is in one."""
        return next((remote for remote, dpids in self._bridges.items() if dpid in dpids), None)

    def host_of(self, dpid: int) -> str:
        """The host that a switch is on, as far as hosts have said, before the last start, too; ""
        if none has."""
        for remote, dpids in self._remembered.items():
            if dpid in dpids:
                return remote.partition(":")[2]
        found = self.remote(dpid)
        return self._hosts[found] if found else ""

    def _tell(self, dpids: Iterable[int]) -> None:
        """Emit what changed of these switches, but nothing of one that may belong to an OVSDB
        not heard of yet."""
        changes: list[Change] = []
        for dpid in dpids:
            ports = self._ports.get(dpid)
            remote = self.remote(dpid)
            if ports is None or (remote is None and self._may_belong(dpid)):
                continue
            told = self._told.setdefault(dpid, set())
            host = self._hosts[remote] if remote else ""
            name = self._bridges[remote][dpid] if remote else dpid_text(dpid)
            own = bool(remote) and name == self._integration_bridge
            changes.append(Change(Switch, dpid, Switch(dpid, name, host, own)))
            changes += [Change(Interface, (dpid, name), None) for name in told - ports.keys()]
            changes += [
                Change(Interface, (dpid, name), self._interface(dpid, name)) for name in ports
            ]
            told.clear()
            told.update(ports)
        if changes:
            self._emit(changes)

    def _may_belong(self, dpid: int) -> bool:
        """Whether a switch is, or may be, on a host whose OVSDB will say what its interfaces are
        for, or that it is somebody else's."""
        known = (*self._remembered.values(), *self._others.values())
        return bool(self._awaited or self._hosts_join) or any(dpid in dpids for dpids in known)

    def _interface(self, dpid: int, name: str) -> Interface:
        remote = self.remote(dpid)
        ids: Mapping[str, str] = self._external[remote].get(name, {}) if remote else {}
        return Interface(
            id=(dpid, name),
            switch=dpid,
            name=name,
            ofport=self._ports[dpid][name],
            host=self._hosts[remote] if remote else "",
            iface_id=ids.get("iface-id", ""),
            physical_network=ids.get(PHYSICAL_NETWORK) or self._physical_interfaces.get(name, ""),
            service=SERVICE in ids,
            tunnel=ids.get(TUNNEL, ""),
            peer=_address(ids.get(PEER, "")),
        )


def _address(text: str) -> Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return Address(address.version, int(address))
