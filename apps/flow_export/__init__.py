# SPDX-License-Identifier: Apache-2.0

"""Flow export: what passes a switch is told to collectors, by Open vSwitch itself.

sFlow, NetFlow and IPFIX of whole bridges are rows of OVSDB beside the integration bridge. IPFIX of
tenants' ports is told by the flows that know the port (``controller/network/sampling.py``), with
the port's key as its observation point; whose that is, the API tells.
"""

from oslo_config import cfg

from tenantry.apps.flow_export.policies import POLICIES
from tenantry.apps.flow_export.routes import ROUTES
from tenantry.apps.flow_export.rows import Exports
from tenantry.controller.config import Options, address
from tenantry.controller.feature.app import App, Parts
from tenantry.controller.feature.extension import Extension
from tenantry.controller.network.sampling import ONE_OF

_LISTED = "ADDRESS:PORT of the collectors that are told of what passes each integration bridge, by "

OPTIONS: Options = {
    "flow_export": [
        cfg.ListOpt("sflow_collectors", default=[], help=_LISTED + "sFlow v5. Empty: none."),
        cfg.IntOpt(
            "sflow_sampling", default=400, min=1, help="One of so many packets is told by sFlow."
        ),
        cfg.IntOpt(
            "sflow_polling",
            default=30,
            min=0,
            help="Seconds between counters of interfaces that sFlow tells. 0: none.",
        ),
        cfg.ListOpt("netflow_collectors", default=[], help=_LISTED + "NetFlow v5. Empty: none."),
        cfg.IntOpt(
            "netflow_timeout",
            default=60,
            min=1,
            max=3600,
            help="Seconds after which NetFlow tells of a flow that goes on.",
        ),
        cfg.ListOpt("ipfix_collectors", default=[], help=_LISTED + "IPFIX. Empty: none."),
        cfg.IntOpt(
            "ipfix_sampling", default=400, min=1, help="One of so many packets is told by IPFIX."
        ),
        cfg.ListOpt(
            "port_collectors",
            default=[],
            help="ADDRESS:PORT of the collectors that are told of what each tenant's port sends "
            "and gets, by IPFIX: its observation points are ports, as "
            "GET /tenantry/v1/observation-points tells. Empty: none.",
        ),
        cfg.IntOpt(
            "port_sampling",
            default=400,
            min=1,
            max=65535,
            help="One of so many packets of a port is told.",
        ),
        cfg.IntOpt(
            "ipfix_timeout",
            default=60,
            min=0,
            max=4200,
            help="Seconds for which IPFIX adds up a flow before it is told. 0: each packet is.",
        ),
    ]
}


def _build(conf: cfg.ConfigOpts) -> Parts:
    export = conf.flow_export
    for name in ("sflow", "netflow", "ipfix", "port"):
        option = f"{name}_collectors"
        for text in export[option]:
            address(text, f"[flow_export] {option}")
    return Parts(
        extension=Extension(policies=POLICIES),
        rows=Exports(export).rows,
        routes=ROUTES,
        flow_options={ONE_OF: export.port_sampling} if export.port_collectors else {},
    )


FLOW_EXPORT = App(id=26, name="flow_export", options=OPTIONS, build=_build)
