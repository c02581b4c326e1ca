# SPDX-License-Identifier: Apache-2.0

"""Network logging: a line for each connection that the security groups of chosen ports accept, and
for each packet that they, or a firewall there, drop.

The switch sends what is to be logged to the controller, so many packets a second and no more (a
meter of its own: what is beyond it is judged as ever, and not logged). The controller says whose
packet it was, and for what was accepted which rule allows it.
"""

from oslo_config import cfg

from tenantry.apps.network_log import resources, tables
from tenantry.apps.network_log.commands import COMMANDS
from tenantry.apps.network_log.flows import compile_common, compile_port, logged_ports
from tenantry.apps.network_log.log import LogLine, LogWriter
from tenantry.apps.network_log.packets import handle
from tenantry.apps.network_log.records import NetworkLog
from tenantry.apps.network_log.routes import routes
from tenantry.controller.config import Options
from tenantry.controller.feature.app import App, Parts, Units, per_switch

OPTIONS: Options = {
    "network_log": [
        cfg.StrOpt(
            "file",
            default="/var/lib/tenantry/network.log",
            help="Where the lines of the network log go, as JSON; nowhere if empty.",
        ),
    ]
}


def _build(conf: cfg.ConfigOpts) -> Parts:
    log = LogWriter(conf.network_log.file)
    return Parts(
        extension=resources.extension(),
        packet_in=handle,
        routes=routes(log),
        effects={LogLine: lambda line, origin: log.write(line.fields)},
    )


NETWORK_LOG = App(
    id=14,
    name="network_log",
    records=(NetworkLog,),
    units=(Units("all", per_switch, compile_common), Units("port", logged_ports, compile_port)),
    tables=tables.TABLES,
    options=OPTIONS,
    build=_build,
    commands=COMMANDS,
)
