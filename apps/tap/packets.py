# SPDX-License-Identifier: Apache-2.0

"""Packets of captures, as switches send them."""

from __future__ import annotations

from collections.abc import Iterator

from tenantry.apps.tap.captures import Captured
from tenantry.apps.tap.records import IN, OUT
from tenantry.apps.tap.tables import CAPTURED, SENT
from tenantry.controller.feature.effects import PacketIn
from tenantry.controller.model import View


def handle(view: View, packet: PacketIn) -> Iterator[Captured]:
    """For whoever reads the capture."""
    key = packet.register(CAPTURED)
    yield Captured(key & ~SENT, OUT if key & SENT else IN, packet.data)
