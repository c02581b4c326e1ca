# SPDX-License-Identifier: Apache-2.0

"""Flow-mods in bundles: a bundle is either in a switch or not.

Errors are looked at before the commit, since Open vSwitch commits a bundle without those messages
that it refused. Sections refer to the OpenFlow 1.4.0 specification.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from tenantry.controller import runtime
from tenantry.controller.openflow import codec
from tenantry.controller.switch.connection import Connection, Disconnected


class Bundle(NamedTuple):
    """Flow-mods ready to go, as encoded bodies: one request, with a barrier at its end."""

    bodies: list[bytes]
    number: int
    first: int  # xid of the first flow-mod; the others follow
    barrier: int
    request: bytes


class Ahead:
    """Something that is made once, when somebody first finds the time."""

    def __init__(self, make: Callable[[], Bundle]) -> None:
        self._make = make
        self.value: Bundle | None = None

    def get(self) -> Bundle:
        if self.value is None:
            self.value = self._make()
        return self.value


def prepared(connection: Connection, number: int, bodies: list[bytes]) -> Bundle:
    """A bundle of these flow-mods, under a number of the connection's own."""
    first, barrier = connection.xids(len(bodies)), connection.xid()
    parts = (
        codec.bundle_control(connection.xid(), number, codec.BUNDLE_OPEN),
        codec.bundle_flow_mods(first, number, bodies),
        codec.message(codec.BARRIER_REQUEST, barrier),
    )
    return Bundle(bodies, number, first, barrier, b"".join(parts))


def transfer(
    connection: Connection, bundle: Bundle, following: Ahead
) -> dict[int, codec.SwitchError]:
    """Send a bundle; empty if it is in, else the errors by cookie, and nothing is in.

    While the switch works on it, the following one is prepared.
    """

    def add() -> None:
        with connection.asking(bundle.barrier) as answer:
            connection.send(bundle.request)
            runtime.yield_now()
            following.get()
            answer()

    errors = connection.errors_of(add)
    if errors:
        discard = connection.xid()
        request = codec.bundle_control(discard, bundle.number, codec.BUNDLE_DISCARD)
        connection.call(discard, request)
    else:
        commit = connection.xid()
        request = codec.bundle_control(commit, bundle.number, codec.BUNDLE_COMMIT)
        errors = connection.errors_of(lambda: connection.call(commit, request))
    if not errors:
        return {}
    last = bundle.first + len(bundle.bodies)
    blamed = {
        codec.cookie(bundle.bodies[error.xid - bundle.first]): error
        for error in errors
        if bundle.first <= error.xid < last
    }
    if not blamed:
        # The bundle as such was refused: nobody in particular is to blame, so start afresh.
        raise Disconnected(f"switch {connection.dpid:016x} refused a bundle: {errors[0]}")
    return blamed


def chunks(items: list[bytes], size: int) -> Iterator[list[bytes]]:
    for start in range(0, len(items), size):
        runtime.yield_now()
        yield items[start : start + size]
