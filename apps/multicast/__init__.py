# SPDX-License-Identifier: Apache-2.0

"""Broadcasts and multicast: how much of them a port may send."""

from __future__ import annotations

from oslo_config import cfg

from tenantry.apps.multicast.flows import compile_port
from tenantry.controller.config import Options
from tenantry.controller.feature.app import App, Parts, Units
from tenantry.controller.model import ports_on
from tenantry.controller.network.broadcasts import PER_SECOND

OPTIONS: Options = {
    "multicast": [
        cfg.IntOpt(
            "packets_per_second",
            default=1000,
            min=0,
            help="How many broadcasts and multicast packets a port may send in a second; as many "
            "may come at once. What is beyond that is dropped. 0: no limit.",
        ),
    ]
}


def _build(conf: cfg.ConfigOpts) -> Parts:
    return Parts(flow_options={PER_SECOND: conf.multicast.packets_per_second})


MULTICAST = App(
    id=25,
    name="multicast",
    units=(Units("port", ports_on, compile_port),),
    options=OPTIONS,
    build=_build,
)
