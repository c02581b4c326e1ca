# SPDX-License-Identifier: Apache-2.0

"""How many connections a network, or what a router leads to, may have: limits on the zones of
connection tracking, so that no tenant can fill the table that all share with what stays open.

How fast a port may add to it is said by meters (``apps/security_groups/connection_limits.py``), on
every host. What it keeps has no words in OpenFlow, and in OVSDB only since Open vSwitch 3.3; so it
is told to ovs-vswitchd by its control socket (``dpctl/ct-set-limits``), which is beside the
database's: on this host, that is. For each port that is plugged in here, a zone may hold as much as
its meters let through in a minute. Limits are set zone by zone; a default of the datapath's is
never touched (0 would block all).
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from tenantry.controller import runtime
from tenantry.controller.model import Binding, Model, Network, Port, View, networks_with_ports
from tenantry.controller.network.records import Router
from tenantry.controller.network.routers import routers_in, routing_domain
from tenantry.controller.openflow.keys import Zone
from tenantry.controller.service.follower import Follower, Passed
from tenantry.controller.switch.inventory import Inventory
from tenantry.controller.switch.vswitchd import command

LOG = logging.getLogger(__name__)

REST_SECONDS = 0.2
"""Between two times: changes come in bursts, and a limit need not be exact."""

MOST = 4
"""Times ``connections_per_port``: what begins with a port in a minute, by itself and elsewhere."""

AT_ONCE = 500
"""Zones in one command."""


class Limits(Follower):
    """Keeps the limits of one host's Open vSwitch. ``per_port``: connections; 0 for no limits."""

    def __init__(self, model: Model, inventory: Inventory, remotes: Iterable[str], per_port: int):
        self._model = model
        self._inventory = inventory
        self._directories = {
            remote: Path(remote.removeprefix("unix:")).parent
            for remote in remotes
            if remote.startswith("unix:") and per_port
        }
        self._per_port = per_port
        self._set: dict[str, dict[int, int]] = {}
        self._warned: set[str] = set()
        self._wake = runtime.Signal()

    def passed(self, passed: Passed) -> None:
        if any(change.type in (Binding, Port) for change in passed.changes):
            self._wake.set()

    def started(self, dpid: int) -> None:
        """Perhaps its daemon was restarted, and knows no limits."""
        self._set.pop(self._inventory.remote(dpid) or "", None)
        self._wake.set()

    def run(self) -> None:
        """For as long as the process lives."""
        while True:
            self._wake.wait()
            runtime.sleep(REST_SECONDS)
            for remote, directory in self._directories.items():
                self._keep(remote, directory)

    def wanted(self, remote: str) -> dict[int, int]:
        """The limit of each zone that ports of a host use."""
        view, ports = View(self._model), Counter[int]()
        for switch in view.distinct(Binding, "switch"):
            if self._inventory.remote(switch) != remote:
                continue
            for network_id in networks_with_ports(view, switch):
                network = view.get(Network, network_id)
                if network is None:
                    continue
                count = len(view.ids(Binding, switch=switch, network_id=network_id))
                ports[Zone.bridged(network.key)] += count
                if (router_key := routing_domain(view, network_id)) is not None:
                    ports[Zone.routed(router_key)] += count
                for router_id in routers_in(view, network_id):
                    router = view.get(Router, router_id)
                    if router is not None:
                        ports[Zone.shared(router.key)] += count
                        ports[Zone.forwarded(router.key)] += count
        return {zone: count * MOST * self._per_port for zone, count in ports.items()}

    def _keep(self, remote: str, directory: Path) -> None:
        wanted, there = self.wanted(remote), self._set.get(remote, {})
        changed = {zone: limit for zone, limit in wanted.items() if there.get(zone) != limit}
        gone = there.keys() - wanted.keys()
        if not (changed or gone):
            return
        try:
            for datapath in command(directory, "dpctl/dump-dps", []).split():
                _set(directory, datapath, changed)
                _delete(directory, datapath, sorted(gone))
        except OSError as error:
            if remote not in self._warned:
                self._warned.add(remote)
                LOG.warning("%s: no limits on connections: %s", remote, error)
            return
        self._warned.discard(remote)
        self._set[remote] = wanted


def _set(directory: Path, datapath: str, limits: Mapping[int, int]) -> None:
    words = [f"zone={zone},limit={limit}" for zone, limit in sorted(limits.items())]
    for start in range(0, len(words), AT_ONCE):
        command(directory, "dpctl/ct-set-limits", [datapath, *words[start : start + AT_ONCE]])


def _delete(directory: Path, datapath: str, zones: list[int]) -> None:
    for start in range(0, len(zones), AT_ONCE):
        some = ",".join(map(str, zones[start : start + AT_ONCE]))
        command(directory, "dpctl/ct-del-limits", [datapath, f"zone={some}"])
