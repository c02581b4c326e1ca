# SPDX-License-Identifier: Apache-2.0

"""Metadata: what a machine asks at 169.254.169.254 (or fe80::a9fe:a9fe) when it starts.

The answers of OpenStack and of EC2, for the port that asks: it is known by the switch port that the
request came in by, never by anything that the guest says. What is not in the model is stored with
the port, in ``binding:profile``: ``user_data`` (text, or base64), ``ssh_keys`` (a list, or by
name), ``instance_id`` and ``meta``. Requests go to the service port (``apps/service_port``).
"""

from oslo_config import cfg

from tenantry.apps.metadata import tables
from tenantry.apps.metadata.flows import compile_requests
from tenantry.apps.metadata.http import Metadata
from tenantry.controller.feature.app import App, Parts, Units, per_switch
from tenantry.controller.feature.effects import Http
from tenantry.controller.packets.own_addresses import METADATA_PORT


def _build(conf: cfg.ConfigOpts) -> Parts:
    return Parts(endpoint=Http(METADATA_PORT, Metadata(conf.dns.domain).answer))


METADATA = App(
    id=8,
    name="metadata",
    units=(Units("requests", per_switch, compile_requests),),
    build=_build,
    adds_to=tables.ADDS_TO,
)
