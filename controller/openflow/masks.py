# SPDX-License-Identifier: Apache-2.0

"""Ranges of ports as matches."""

from __future__ import annotations

from collections.abc import Iterator

from tenantry.controller.openflow.oxm import Value


def port_masks(first: int, last: int) -> Iterator[Value]:
    """A range of ports as few values under masks."""
    while first <= last:
        size = first & -first or 1 << 16
        while first + size - 1 > last:
            size >>= 1
        yield first if size == 1 else (first, 0xFFFF & ~(size - 1))
        first += size
