# SPDX-License-Identifier: Apache-2.0

"""Records of certificates, and how they are referred to."""

from __future__ import annotations

from typing import ClassVar

from tenantry.controller.model.model import Indexes
from tenantry.controller.model.record import record, stored

CERTIFICATE = "certificate"
"""The kind."""


@record
class Certificate:
    """What somebody shows, or trusts, in TLS: PEM, each of these or "". A server's has a key; an
    authority's has none; a list of revoked ones may stand by itself."""

    KIND: ClassVar = CERTIFICATE
    INDEXES: ClassVar[Indexes] = ()

    id: str
    certificate: str = stored(default="")
    intermediates: str = stored(default="")
    private_key: str = stored("sealed_key", default="")  # as Secrets has sealed it
    crl: str = stored(default="")


def certificate_id(reference: str) -> str:
    """Whom a reference means: ``http://controller:9696/tenantry/v1/certificates/ID``, or ``ID``.
    Where it was read does not matter, so a controller may move."""
    return reference.rstrip("/").rpartition("/")[2]
