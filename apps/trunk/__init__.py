# SPDX-License-Identifier: Apache-2.0

"""Trunks: a machine with one interface is in many networks, each as a VLAN of that interface.

A trunk has a *parent*, the port that is plugged in, and *subports*: ports, as a rule of other
networks, whose packets the machine sends and receives with a VLAN tag. The ids are the trunk's own.
"""

from tenantry.apps.trunk import resources
from tenantry.controller.feature.app import App, Parts
from tenantry.controller.model.records import Trunk

TRUNK = App(
    id=16,
    name="trunk",
    records=(Trunk,),
    build=lambda conf: Parts(
        extension=resources.extension(),
        observed={"trunk": lambda running, body: {"status": running.port_status(body["port_id"])}},
    ),
)
