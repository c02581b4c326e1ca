# SPDX-License-Identifier: Apache-2.0

"""The records of the network log."""

from __future__ import annotations

from typing import ClassVar

from tenantry.controller.model.model import Indexes
from tenantry.controller.model.record import record, stored


@record
class NetworkLog:
    """What is to be logged of the packets of ports: those of a group, of a project, or one."""

    KIND: ClassVar = "log"
    INDEXES: ClassVar[Indexes] = ()

    id: str
    project_id: str
    enabled: bool
    event: str  # "ACCEPT", "DROP" or "ALL"
    group_id: str = stored("resource_id", empty="")  # a security group; or "": any of the project's
    port_id: str = stored("target_id", empty="")  # or "": any
