# SPDX-License-Identifier: Apache-2.0

"""``/tenantry/v1/ports/ID/capture``: a port's packets, as they come; ``captures``: who reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from uuid import uuid4

from neutron_lib import exceptions

from tenantry.apps.tap.captures import Captures, Limits
from tenantry.apps.tap.records import BOTH, IN, OUT, Capture
from tenantry.apps.tap.terms import alternatives
from tenantry.controller.feature.counts import check_seen
from tenantry.controller.feature.policies import route_rule
from tenantry.controller.feature.routes import Route, Running

CAPTURE = "ports/{id}/capture"


class TooManyCaptures(exceptions.ServiceUnavailable):
    message = "There are %(most)d captures already ([tap] captures); come again later."


class Most(NamedTuple):
    """What nobody may exceed: see the options of [tap]."""

    seconds: int
    octets: int
    packets_per_second: int


def _number(name: str, text: str | None, most: int) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= most):
        raise ValueError(f"{name} is a number from 1 to {most}")
    return int(text)


def routes(captures: Captures, most: Most) -> tuple[Route, ...]:
    def capture(
        running: Running, id: str, gone: Callable[[], bool], **asked: str | None
    ) -> Iterator[bytes]:
        """pcapng. Errors: LookupError, PolicyNotAuthorized, ValueError, TooManyCaptures."""
        check_seen(running, "port", id)
        running.check(route_rule(CAPTURE), "port", id)
        direction = (asked["direction"] or BOTH).upper()
        if direction not in (IN, OUT, BOTH):
            raise ValueError("direction is in, out or both")
        directions = frozenset((IN, OUT) if direction == BOTH else (direction,))
        limits = Limits(
            _number("seconds", asked["seconds"], most.seconds) or most.seconds,
            _number("packets", asked["packets"], 1 << 32),
            most.octets,
            _number("snaplen", asked["snaplen"], 1 << 16) or 0,
        )
        matches = alternatives(asked["filter"] or "")
        if captures.full():
            raise TooManyCaptures(most=captures.most)

        def wanted(key: int) -> Capture:
            return Capture(str(uuid4()), key, id, directions, matches, most.packets_per_second)

        return captures.read(running, gone, wanted, limits)

    def listed(running: Running) -> list[dict[str, Any]]:
        """The captures that go on now, of ports that who asks sees."""
        return captures.shown(running.sees)

    parameters = ("direction", "filter", "seconds", "packets", "snaplen")
    return (
        Route(CAPTURE, capture, parameters, gone=True, media_type="application/x-pcapng"),
        Route("captures", listed),
    )
