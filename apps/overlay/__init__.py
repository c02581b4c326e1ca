# SPDX-License-Identifier: Apache-2.0

"""Overlays: networks of type VXLAN and Geneve, through tunnels from switch to switch.

A switch has one tunnel port for each type, which leads to wherever a flow says
(``remote_ip=flow``). What is known to be behind another switch goes there and nowhere else;
broadcasts go, one copy each, to the switches that have ports of the network; addresses that the
model does not know are learned from the packets that come from there. A host that joins changes
nothing on others until it shares a network with them.

Where routers have several gateways, switches watch each other's health (BFD) by tunnels of their
own, and send what is for a gateway to the first that is there (``controller/network/failover.py``).
"""

from oslo_config import cfg

from tenantry.apps.overlay import tables
from tenantry.apps.overlay.flows import (
    carried_ports,
    compile_beyond,
    compile_network,
    compile_router,
    networks_carried,
)
from tenantry.apps.overlay.rows import Tunnels
from tenantry.controller.config import Options
from tenantry.controller.feature.app import App, Parts, Units
from tenantry.controller.network.routers import routers_on

OPTIONS: Options = {
    "overlay": [
        cfg.IntOpt(
            "bfd_interval",
            default=100,
            min=10,
            help="Milliseconds between two messages by which switches watch each other's health, "
            "where routers have several gateways.",
        ),
        cfg.IntOpt(
            "bfd_multiplier",
            default=4,
            min=2,
            max=255,
            help="After so many of them with nothing heard, a gateway is taken for dead.",
        ),
        cfg.StrOpt(
            "ipsec_psk",
            default="",
            secret=True,
            help="A key that all hosts share; with it tunnels are encrypted by IPsec, where "
            "openvswitch-ipsec runs on every host. Empty: they are not.",
        ),
    ]
}


def _build(conf: cfg.ConfigOpts) -> Parts:
    overlay = conf.overlay
    tunnels = Tunnels(overlay.bfd_interval, overlay.bfd_multiplier, overlay.ipsec_psk)
    return Parts(rows=tunnels.rows)


OVERLAY = App(
    id=15,
    name="overlay",
    units=(
        Units("network", networks_carried, compile_network),
        Units("beyond", carried_ports, compile_beyond),
        Units("router", routers_on, compile_router),
    ),
    options=OPTIONS,
    build=_build,
    adds_to=tables.ADDS_TO,
)
