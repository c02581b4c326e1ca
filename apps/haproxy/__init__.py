# SPDX-License-Identifier: Apache-2.0

"""HAProxy: what of a load balancer no switch can do.

HTTP and TLS that ends here, L7 policies, cookies, the PROXY protocol, limits and time-outs of
connections: such listeners are done by one HAProxy a load balancer, in a namespace of a worker's
host, which has the port of the VIPs itself. Its configuration is a pure function of the model, as
flows are. Who is dead is what the monitors say, to the proxy as to switches.
"""

from oslo_config import cfg

from tenantry.apps.haproxy import provisioning, statistics
from tenantry.apps.haproxy.processes import processes
from tenantry.controller.feature.app import App, Parts
from tenantry.controller.feature.secrets import Secrets

OPTIONS = {
    "haproxy": [
        cfg.IntOpt(
            "threads",
            default=2,
            min=0,
            max=64,
            help="Threads of each load balancer's HAProxy; 0: one for each processor of its host.",
        ),
    ]
}


def _build(conf: cfg.ConfigOpts) -> Parts:
    secrets = Secrets(conf.certificates.key_file)
    return Parts(
        processes=processes(secrets, conf.haproxy.threads),
        observed={**statistics.OBSERVED, **provisioning.OBSERVED},
    )


HAPROXY = App(id=31, name="haproxy", options=OPTIONS, build=_build)
