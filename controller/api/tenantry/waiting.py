# SPDX-License-Identifier: Apache-2.0

"""Clients whose answers depend on switches, or on what is yet to happen: they wait, so they have a
share of the API's connections and no more, and one that has hung up is let go."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from neutron_lib import exceptions
from webob import Request

from tenantry.controller.api.tenantry.running import Running
from tenantry.controller.sockets.http import HUNG_UP

LOOK_SECONDS = 1.0
"""How long it may take to notice that a client has hung up."""


class TooManyWait(exceptions.ServiceUnavailable):
    message = "%(most)d clients are waiting already; come again later"


class Waiting:
    """The places of those who wait."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._here = 0

    def check(self) -> None:
        """Errors: TooManyWait, if all places are taken."""
        if self._here >= self._most:
            raise TooManyWait(most=self._most)

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place, for as long as the block runs. Errors: TooManyWait."""
        self.check()
        self._here += 1
        try:
            yield
        finally:
            self._here -= 1


def hung_up(request: Request) -> Callable[[], bool]:
    """Whether whoever asked is gone, as far as the server can tell."""
    told: Callable[[], bool] = request.environ.get(HUNG_UP, lambda: False)
    return told


def wait_until(
    running: Running, condition: Callable[[], bool], seconds: float, gone: Callable[[], bool]
) -> bool:
    """Wait for what passes, confirmations and lost connections bring about; False if that takes
    too long, or nobody waits for it any more."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if running.progress.wait_until(condition, min(left, LOOK_SECONDS)):
            return True
        if gone():
            return False
    return condition()
