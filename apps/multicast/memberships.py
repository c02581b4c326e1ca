# SPDX-License-Identifier: Apache-2.0

"""Who wants to hear which group: asks, listens, and forgets who no longer answers.

What is known becomes records of the model, from which flows follow; all that time brings about is
here. A guest can say what it likes of groups, so what is kept is bounded: who wants more than can
be told apart gets all there is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from tenantry.apps.multicast.packets import Wish, queries, wishes
from tenantry.apps.multicast.records import EVERY_GROUP, Asked, Membership
from tenantry.controller.feature.effects import PacketIn, PacketOut, Periodic
from tenantry.controller.model import Address, Binding, Change, Network, Port, View
from tenantry.controller.openflow.flow import Action, Resubmit, SetField
from tenantry.controller.openflow.pipeline import NETWORK, OUT_PORT, Table

TICK_SECONDS = 0.5
INTERVAL_SECONDS = 125
RESPONSE_SECONDS, FIRST_RESPONSE_SECONDS = 10, 2
"""RFC 3376, 8.2 and 8.3; RFC 3810, 9.2 and 9.3. Who has just come is asked to answer sooner."""
GRACE_SECONDS = 0.5
"""How much later the last answer may be here."""
GROUPS_PER_PORT, GROUPS_PER_NETWORK = 64, 256
AT_ONCE = 500
"""Ports that one packet-out is for: 32 bytes each, of the 64 KiB that a message has."""


@dataclass
class _Switch:
    """What has been asked on a switch: when it began, whom, and when all are asked next; and who
    has spoken there, perhaps unasked."""

    begun: float
    again: float
    ports: frozenset[str] = frozenset()
    speakers: set[str] = field(default_factory=set)
    known: bool = False


@dataclass
class Memberships:
    """Those of all ports. ``clock``: seconds that go on."""

    clock: Callable[[], float] = time.monotonic
    _switches: dict[int, _Switch] = field(default_factory=dict)
    _heard: dict[str, dict[Address, float]] = field(default_factory=dict)  # by port, when last

    def periodic(self) -> Periodic:
        return Periodic(TICK_SECONDS, self.tick, self.lost)

    # --- answers -----------------------------------------------------------------------------

    def handle(self, view: View, packet: PacketIn) -> Iterator[Change]:
        """What a port says of groups. Errors: Malformed."""
        said = list(wishes(packet.data))
        for port in view.find(Port, key=packet.port):
            if view.get(Binding, port.id) is not None:
                self._at(packet.switch).speakers.add(port.id)
                for wish in said:
                    yield from self._take(view, port, wish)

    def _take(self, view: View, port: Port, wish: Wish) -> Iterator[Change]:
        heard = self._heard.setdefault(port.id, {})
        group = wish.group
        if wish.wanted:
            if group not in heard and self._too_many(view, port, heard, group):
                group = EVERY_GROUP[group.version]
            if group not in heard:
                member = Membership((port.id, group), port.network_id, port.id, group)
                yield Change(Membership, member.id, member)
            heard[group] = self.clock()
        elif group in heard and not port.learns:
            # Behind a port that learns, there may be others who still want it: they are asked.
            del heard[group]
            yield Change(Membership, (port.id, group), None)

    @staticmethod
    def _too_many(view: View, port: Port, heard: dict[Address, float], group: Address) -> bool:
        if group in EVERY_GROUP.values():
            return False
        groups = view.distinct(Membership, "group", network_id=port.network_id)
        full = len(groups) >= GROUPS_PER_NETWORK and group not in groups
        return full or len(heard) >= GROUPS_PER_PORT

    # --- questions, and what time brings about -----------------------------------------------

    def tick(self, view: View, switch: int) -> Iterator[PacketOut | Change]:
        """Ask who has come, and now and then all; forget who has gone, or no longer answers."""
        now = self.clock()
        state = self._at(switch)
        ports = view.ids(Binding, switch=switch)
        asked, response = ports - state.ports, FIRST_RESPONSE_SECONDS
        gone = (state.ports | state.speakers) - ports
        state.ports, state.speakers = ports, state.speakers - gone
        yield from self._leave(view, gone)
        if now >= state.again:
            state.again = now + INTERVAL_SECONDS
            asked, response = ports, RESPONSE_SECONDS
            yield from self._age(view, ports, now - OLD_SECONDS)
        yield from _questions(view, asked, response)
        if not state.known and now >= state.begun + FIRST_RESPONSE_SECONDS + GRACE_SECONDS:
            state.known = True
            yield Change(Asked, switch, Asked(switch))

    def _at(self, switch: int) -> _Switch:
        now = self.clock()
        return self._switches.setdefault(switch, _Switch(now, now + INTERVAL_SECONDS))

    def lost(self, view: View, switch: int) -> Iterator[Change]:
        """A switch is lost: what its ports say from now on is not heard."""
        if self._switches.pop(switch, None) is not None:
            yield Change(Asked, switch, None)

    def _leave(self, view: View, port_ids: Iterable[str]) -> Iterator[Change]:
        """Ports that have left a switch; of one that has moved, the memberships have, too."""
        for port_id in sorted(self._heard.keys() & set(port_ids)):
            if view.get(Binding, port_id) is None:
                for group in self._heard.pop(port_id):
                    yield Change(Membership, (port_id, group), None)

    def _age(self, view: View, port_ids: frozenset[str], since: float) -> Iterator[Change]:
        yield from self._leave(view, self._heard.keys() - port_ids)  # while a switch was lost
        for port_id in sorted(self._heard.keys() & port_ids):
            port, heard = view.get(Port, port_id), self._heard[port_id]
            if port is not None and port.admin_state_up:  # else it cannot answer
                for group in [group for group, at in heard.items() if at < since]:
                    del heard[group]
                    yield Change(Membership, (port_id, group), None)


OLD_SECONDS = 2 * INTERVAL_SECONDS
"""How old an answer gets: two questions later, nobody wants the group any more."""


def _questions(view: View, port_ids: frozenset[str], response: int) -> Iterator[PacketOut]:
    """To ports of a switch, past what judges what they may get: a group that is allowed to a port
    must not end because the question is not. Nobody beyond the switch hears them."""
    by_network: dict[str, list[int]] = {}
    for port_id in port_ids:
        if (port := view.get(Port, port_id)) is not None:
            by_network.setdefault(port.network_id, []).append(port.key)
    for network_id, keys in sorted(by_network.items()):
        network = view.get(Network, network_id)
        if network is None:
            continue
        for start in range(0, len(keys), AT_ONCE):
            actions: list[Action] = [SetField(NETWORK, network.key)]
            for key in sorted(keys)[start : start + AT_ONCE]:
                actions += (SetField(OUT_PORT, key), Resubmit(Table.OUTPUT))
            for data in queries(response, INTERVAL_SECONDS):
                yield PacketOut(data, tuple(actions))
