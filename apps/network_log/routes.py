# SPDX-License-Identifier: Apache-2.0

"""``/tenantry/v1/network-log``: what was logged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tenantry.apps.network_log.log import LogWriter
from tenantry.controller.feature.routes import Route, Running


def routes(log: LogWriter) -> tuple[Route, ...]:
    def lines(
        running: Running, follow: str | None, gone: Callable[[], bool]
    ) -> list[dict[str, Any]] | Iterator[bytes]:
        """The newest lines, or, with ``follow``, lines as they come, one JSON object each."""
        return log.follow(gone) if follow else list(log.recent)

    return (Route("network-log", lines, ("follow",), gone=True),)
