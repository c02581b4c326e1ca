# SPDX-License-Identifier: Apache-2.0

"""Records of multicast. They are observed, and in memory only."""

from __future__ import annotations

from typing import ClassVar

from tenantry.controller.model.model import Indexes
from tenantry.controller.model.record import record
from tenantry.controller.model.values import Address

EVERY_GROUP = {4: Address(4, 0), 6: Address(6, 0)}
"""As the group of a membership: all that there are, as a multicast router hears them."""


@record
class Membership:
    """A port that has asked for a group."""

    INDEXES: ClassVar[Indexes] = (("network_id", "group"), ("network_id",))

    id: tuple[str, Address]
    network_id: str
    port_id: str
    group: Address


@record
class Asked:
    """A switch whose ports have been asked which groups they want, and have had the time to say so:
    from now on, silence is an answer."""

    INDEXES: ClassVar[Indexes] = ()

    id: int  # datapath id
