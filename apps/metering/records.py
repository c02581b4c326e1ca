# SPDX-License-Identifier: Apache-2.0

"""The records of metering."""

from __future__ import annotations

from typing import ClassVar

from tenantry.controller.model import parse
from tenantry.controller.model.model import Indexes
from tenantry.controller.model.record import record, stored
from tenantry.controller.model.values import Prefix


@record
class MeteringLabel:
    """What is counted together: at the routers of its project, or of all."""

    KIND: ClassVar = "metering_label"
    INDEXES: ClassVar[Indexes] = (("project_id",), ("shared",))

    id: str
    key: int  # small, unique, permanent: what COUNTED_LABEL carries
    project_id: str
    shared: bool


@record
class MeteringLabelRule:
    """Which packets a label counts, or (``excluded``) does not, whatever its other rules say."""

    KIND: ClassVar = "metering_label_rule"
    INDEXES: ClassVar[Indexes] = (("metering_label_id",),)

    id: str
    metering_label_id: str
    direction: str  # "egress": what leaves by a router's gateway; or "ingress"
    excluded: bool
    remote: Prefix | None = stored("remote_ip_prefix", parse.prefix, empty=None)
    source: Prefix | None = stored("source_ip_prefix", parse.prefix, empty=None)
    destination: Prefix | None = stored("destination_ip_prefix", parse.prefix, empty=None)

    @property
    def ends(self) -> tuple[Prefix | None, Prefix | None]:
        """Source and destination. A remote prefix is that of the machines behind the router, in
        spite of its name: Neutron's metering agent reads it so, and its API says so."""
        if self.remote is None:
            return self.source, self.destination
        return (self.remote, None) if self.direction == "egress" else (None, self.remote)
