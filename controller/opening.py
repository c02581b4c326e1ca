# SPDX-License-Identifier: Apache-2.0

"""What is opened with a start: the store, and where we listen."""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy.engine import make_url

from tenantry.controller import config
from tenantry.controller.sockets.listener import listen
from tenantry.controller.store import Shape, Store, StoreError

LOG = logging.getLogger("tenantry")


class CannotServe(Exception):
    """Something outside is not as it must be; the message says what to do."""


def open_store(url: str, kinds: Mapping[str, Shape]) -> Store:
    parsed = make_url(url)
    try:
        if parsed.get_backend_name() == "sqlite" and parsed.database:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        store = Store(url, kinds)
        store.hold()
        shown = parsed.render_as_string(hide_password=True)
        counts = [f"{len(store.read(kind)):,} {kind}s" for kind in ("network", "port")]
        LOG.info("store %s is open at revision %d: %s", shown, store.head, ", ".join(counts))
        return store
    except OSError as error:
        raise CannotServe(f"[store] url: {error.filename}: {error.strerror}") from error
    except StoreError as error:
        raise CannotServe(f"[store] url: {error}") from error


def listen_at(text: str, option: str) -> tuple[socket.socket, config.Address]:
    """A socket where others may connect, and where it is. Errors: CannotServe."""
    address = config.address(text, option)
    opened: socket.socket = listening(address, lambda: listen(*address))
    return opened, address._replace(port=opened.getsockname()[1])


def listening(address: config.Address, listen: Any) -> Any:
    try:
        return listen()
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        raise CannotServe(
            f"cannot listen at {address}: {error.strerror or error}"
            f"{'; is another controller running?' if taken else '.'} "
            "Name another address in the configuration file"
        ) from error
