# SPDX-License-Identifier: Apache-2.0

"""A connection becomes known; and how many of them a port may begin.

All that is tracked on a host is in one table, which everybody shares. So each port has an account
of its own, by meters of new connections: it may begin half of ``connections_per_port`` at once, and
then as many as that in a minute, for no longer does Open vSwitch remember what nobody goes on with.
Begun here is on the account of who begins it. What begins elsewhere is on that of the port that it
is for, another one, twice as large: who is asked too much can still ask.

Meters and flows are few, whatever the number of ports: on a host with more than some dozens, those
whose keys end in the same bits (``Binding.share``) have an account together.
"""

from __future__ import annotations

from collections.abc import Iterator

from tenantry.apps.security_groups.tables import STRANGER, CommitPriority, ConnectionLimitPriority
from tenantry.controller.model import SHARES, Option, View
from tenantry.controller.network.conntrack import committed
from tenantry.controller.openflow.flow import Flow, Limit, Match, Meter, Resubmit, SetField
from tenantry.controller.openflow.keys import BEGUN_METER, TAKEN_METER
from tenantry.controller.openflow.pipeline import ORIGIN_PORT, OUT_PORT, Table
from tenantry.controller.packets.frames import IPV4, IPV6

COMMIT = Resubmit(Table.COMMIT)

SECONDS = 60
"""For which Open vSwitch remembers at most what was not answered, and UDP and ICMP (ovs-vsctl(8),
"CT Timeout Policies": by default in its own datapath; Linux forgets UDP sooner)."""


def compile_common() -> Iterator[Flow]:
    """What begins counts. Where Linux tracks, every packet is new until the first answer: what is
    known by now has a mark, and counts no more."""
    commit, limit = committed("ct_zone"), Resubmit(Table.CONNECTION_LIMIT)
    for eth_type in (IPV4, IPV6):
        known: Match = {"eth_type": eth_type}
        begun: Match = {**known, "ct_mark": 0}
        yield Flow(Table.COMMIT, CommitPriority.KNOWN, known, (commit,))
        yield Flow(Table.COMMIT, CommitPriority.BEGUN_HERE, begun, (limit, commit))
        elsewhere = (limit, SetField(ORIGIN_PORT, STRANGER), commit)
        yield Flow(
            Table.COMMIT, CommitPriority.BEGUN_ELSEWHERE, {**begun, ORIGIN_PORT: 0}, elsewhere
        )


def compile_share(view: View, switch: int, number: str) -> Iterator[Flow | Limit]:
    """The accounts of the ports of a share."""
    option = view.get(Option, "connections_per_port")
    if option is None or not option.value:
        return
    alike = (int(number), SHARES - 1)
    rung = ConnectionLimitPriority
    ends: tuple[tuple[int, int, int, Match], ...] = (
        (rung.BEGUN, BEGUN_METER, option.value, {ORIGIN_PORT: alike}),
        (rung.TAKEN, TAKEN_METER, 2 * option.value, {ORIGIN_PORT: 0, OUT_PORT: alike}),
    )
    for priority, base, most, match in ends:
        meter = base + int(number)
        yield Limit(meter, max(1, most // SECONDS), max(1, most // 2))
        yield Flow(Table.CONNECTION_LIMIT, priority, match, (Meter(meter),))
