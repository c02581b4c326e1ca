# SPDX-License-Identifier: Apache-2.0

"""Certificates: what load balancers show in TLS, and whose they trust.

A project keeps its own, with their private keys, under ``/tenantry/v1/certificates``; listeners and
pools refer to them. Keys are sealed before they are stored, by a key that is not in the store, and
shown to nobody. One that is in use cannot be deleted, but renewed: its reference stays.
"""

from oslo_config import cfg

from tenantry.apps.certificates import commands, records, resources
from tenantry.controller.feature.app import App, Parts
from tenantry.controller.feature.secrets import Secrets

OPTIONS = {
    "certificates": [
        cfg.StrOpt(
            "key_file",
            default=commands.KEY_FILE,
            help="The keys by which private keys are sealed in the store, the newest first. It is "
            "made when there is something to seal; controllers that share a store share it.",
        ),
    ]
}


def _build(conf: cfg.ConfigOpts) -> Parts:
    return Parts(extension=resources.extension(Secrets(conf.certificates.key_file)))


CERTIFICATES = App(
    id=32,
    name="certificates",
    options=OPTIONS,
    build=_build,
    commands=(commands.certificate,),
    records=(records.Certificate,),
)
