# SPDX-License-Identifier: Apache-2.0

"""``/tenantry/v1/network-log``: what was logged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from tenantry.apps.network_log.log import LogWriter
from tenantry.controller.feature.routes import Route, Running


def _seen(running: Running, line: dict[str, Any]) -> dict[str, Any] | None:
    """A line, of the logs that who asks may see; None if there are none, or it is of a port that
    they may not see."""
    logs = [id for id in line["log_ids"] if running.sees("log", id)]
    return {**line, "log_ids": logs} if logs and running.sees("port", line["port_id"]) else None


def routes(log: LogWriter) -> tuple[Route, ...]:
    def lines(
        running: Running, follow: str | None, gone: Callable[[], bool]
    ) -> list[dict[str, Any]] | Iterator[bytes]:
        """The newest lines, or, with ``follow``, lines as they come, one JSON object each."""
        if follow:
            return log.follow(partial(_seen, running), gone)
        return [line for each in log.recent if (line := _seen(running, each))]

    return (Route("network-log", lines, ("follow",), gone=True),)
