# SPDX-License-Identifier: Apache-2.0

"""What a worker and the controller tell each other: what is wanted, and what has become of it.

::

    GET /tenantry/v1/workers/HOST/processes?generation=G   answered as soon as there is another
                                                           than G, and every second
    PUT /tenantry/v1/workers/HOST                          what has changed here, and answers to
                                                           questions
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
import urllib.parse
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import click

from tenantry.controller.client import Client
from tenantry.controller.feature.processes import Process, from_json
from tenantry.controller.worker.keeper import Keeper
from tenantry.controller.worker.there import Place, Trouble

LOG = logging.getLogger("tenantry.worker")

OWN_WORKER = "X-Tenantry-Worker"
"""The header by which the worker that a controller has started itself is known to it."""

AGAIN_SECONDS = 0.5
ANSWER_SECONDS = 10.0
PART = 200
"""States in one request."""


class NotNow(Exception):
    """The controller does not answer as it should; why, in words."""


class Talk:
    """Two threads: one waits for news, one tells them."""

    def __init__(self, client: Callable[[], Client], host: str, token: str, place: Place) -> None:
        """``client`` makes one; each thread has its own. With a ``token``, nobody else is to know
        who we are: the controller has started us, on this machine."""
        self._client = client
        self._path = f"/tenantry/v1/workers/{urllib.parse.quote(host, safe='')}"
        self._headers = {OWN_WORKER: token} if token else {}
        self._file = place.directory / "wanted.json"
        self._wanted: dict[str, Any] = {}
        self._store = ""
        self._generation = ""
        self._answers: dict[str, dict[str, str]] = {}
        self._lock = threading.Lock()
        self._said = ""

    def remember(self, keeper: Keeper) -> None:
        """What was told last, before the controller says something else."""
        with suppress(OSError, ValueError, LookupError, TypeError):
            known = json.loads(self._file.read_text())
            self._store, self._wanted = known["store"], known["processes"]
            keeper.want(self._processes())

    def start(self, keeper: Keeper) -> None:
        for work in (self._listen, self._tell):
            threading.Thread(target=self._for_ever, args=(work, keeper), daemon=True).start()

    def _for_ever(self, work: Callable[[Client, Keeper], None], keeper: Keeper) -> None:
        client = self._client()
        while True:
            try:
                work(client, keeper)
            except NotNow as error:
                if str(error) != self._said:
                    LOG.warning("%s; all goes on as it is. Trying again", error)
                self._said = str(error)
                time.sleep(AGAIN_SECONDS)
            except Exception:  # a mistake of ours
                LOG.exception("talking with the controller failed")
                time.sleep(AGAIN_SECONDS)

    # --- what is wanted ------------------------------------------------------------------------

    def _listen(self, client: Client, keeper: Keeper) -> None:
        query = urllib.parse.urlencode({"generation": self._generation})
        news = self._ask(client, "GET", f"{self._path}/processes?{query}")
        if self._store and self._wanted and news["store"] != self._store:
            raise NotNow(
                f"{client.url} is the controller of another store ({news['store']}) than that "
                f"whose processes are here ({self._store}): if it is meant, remove {self._file}"
            )
        if self._said:
            LOG.info("the controller at %s answers", client.url)
            self._said = ""
        if news["generation"] != self._generation:
            wanted = {} if news["whole"] else dict(self._wanted)
            for name, process in news["processes"].items():
                if process is None:
                    wanted.pop(name, None)
                else:
                    wanted[name] = process
            self._wanted, self._store = wanted, news["store"]
            keeper.want(self._processes())
            self._generation = news["generation"]
            self._save()
        # Also of what is wanted as before: it may have been another worker's meanwhile.
        if names := news["processes"].keys():
            keeper.tell_again(names)
        for id, question in news["questions"].items():
            threading.Thread(target=self._answer, args=(keeper, id, *question), daemon=True).start()

    def _processes(self) -> dict[str, Process]:
        return {name: from_json(process) for name, process in self._wanted.items()}

    def _save(self) -> None:
        known = json.dumps({"store": self._store, "processes": self._wanted})
        new = self._file.with_suffix(".new")
        try:
            with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                file.write(known)
            os.replace(new, self._file)
        except OSError as error:
            LOG.warning(
                "%s: %s; without the controller, a restart would not know this",
                *(self._file, error.strerror),
            )

    # --- what has become of it -----------------------------------------------------------------

    def _tell(self, client: Client, keeper: Keeper) -> None:
        keeper.news.wait()
        states, missing = keeper.take_news()
        with self._lock:
            answers, self._answers = self._answers, {}
        names = sorted(states)
        parts = [names[at : at + PART] for at in range(0, len(names), PART)] or [[]]
        try:
            for part in parts:
                told = {name: states[name] for name in part}
                self._ask(client, "PUT", self._path, {"states": told, "missing": missing})
            for id, answer in answers.items():  # each may be long
                self._ask(client, "PUT", self._path, {"answers": {id: answer}})
        except NotNow:
            keeper.tell_again()
            raise

    def _answer(self, keeper: Keeper, id: str, name: str, report: str) -> None:
        try:
            answer = {"text": keeper.ask(name, report)}
        except (Trouble, OSError) as error:
            answer = {"error": str(error)}
        with self._lock:
            self._answers[id] = answer
        keeper.news.set()

    def _ask(self, client: Client, method: str, path: str, body: Any = None) -> Any:
        """Errors: NotNow."""
        try:
            return client.request(method, path, ANSWER_SECONDS, body, self._headers)
        except click.ClickException as error:
            raise NotNow(error.message) from None
