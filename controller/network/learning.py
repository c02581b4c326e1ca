# SPDX-License-Identifier: Apache-2.0

"""What a switch learns by itself, and what is beyond it: for features that lead off the switch."""

from __future__ import annotations

from collections.abc import Iterable

from tenantry.controller.model import Binding, Network, Port, View
from tenantry.controller.openflow.flow import Learn
from tenantry.controller.openflow.keys import Cookie
from tenantry.controller.openflow.pipeline import NETWORK, OUT_PORT, Table

IDLE_SECONDS = 300  # the ageing time of IEEE 802.1Q, 8.8.3
LEARNED_PER_PORT = 64
"""MAC addresses that a switch remembers behind one port, so that no port can fill the table."""

LEARNED_PER_NETWORK = 4096
"""MAC addresses beyond the switch that it remembers in one network, by each way that leads there.
"""


def learn_source(network: Network, out_port: int, *and_load: tuple[str, str], limit: int) -> Learn:
    """Who sent this packet is reached by ``out_port``, and by what is loaded with it: the first
    field of each pair from the second, of this packet."""
    return Learn(
        table=Table.L2_LEARNED,
        match=((NETWORK, NETWORK), ("eth_dst", "eth_src")),
        load=((OUT_PORT, out_port), *and_load),
        idle_timeout=IDLE_SECONDS,
        limit=limit,
        cookie=Cookie.learned(network.key, out_port),
    )


def ports_beyond(view: View, switch: int, network_ids: Iterable[str]) -> frozenset[str]:
    """The ports of these networks that are plugged in on other switches."""
    return frozenset[str]().union(
        *(
            view.ids(Binding, network_id=network_id)
            - view.ids(Binding, switch=switch, network_id=network_id)
            for network_id in network_ids
        )
    )


def plugged_in(view: View, port_id: str) -> tuple[Binding, Port, Network] | None:
    """A port that is switched on, where it is plugged in, and its network; None if any is not."""
    binding, port = view.get(Binding, port_id), view.get(Port, port_id)
    if binding is None or port is None or not port.admin_state_up:
        return None
    network = view.get(Network, port.network_id)
    return None if network is None else (binding, port, network)
