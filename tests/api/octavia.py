# SPDX-License-Identifier: Apache-2.0

"""Octavia's API, as tests ask for it."""

from __future__ import annotations

from typing import Any

from tests.api.conftest import Api
from tests.api.lbaas import LBAAS, collection


class Octavia:
    """A client that checks the status of every answer, and that refusals change nothing."""

    def __init__(self, api: Api) -> None:
        self.api = api

    @staticmethod
    def path(kind: str, *below: str) -> str:
        return "/".join((f"{LBAAS}/{collection(kind)}", *below))

    def create(self, kind: str, **attributes: Any) -> Any:
        status, answer = self.api.request("POST", self.path(kind), {kind: attributes})
        assert status == 201, answer
        return answer[kind]

    def update(self, kind: str, id: str, **attributes: Any) -> Any:
        status, answer = self.api.request("PUT", self.path(kind, id), {kind: attributes})
        assert status == 200, answer
        return answer[kind]

    def show(self, kind: str, id: str, query: str = "") -> Any:
        status, answer = self.api.request("GET", f"{self.path(kind, id)}?{query}")
        assert status == 200, answer
        return answer[kind]

    def list(self, kind: str, query: str = "") -> Any:
        status, answer = self.api.request("GET", f"{self.path(kind)}?{query}")
        assert status == 200, answer
        return answer[collection(kind)]

    def delete(self, kind: str, id: str) -> None:
        status, answer = self.api.request("DELETE", self.path(kind, id))
        assert status == 204, answer

    def refused(self, status: int, kind: str, **attributes: Any) -> str:
        return self._refused(status, "POST", self.path(kind), {kind: attributes})

    def refused_change(self, status: int, kind: str, id: str, **attributes: Any) -> str:
        return self._refused(status, "PUT", self.path(kind, id), {kind: attributes})

    def _refused(self, status: int, method: str, path: str, body: Any) -> str:
        head = self.api.store.head
        seen, answer = self.api.request(method, path, body)
        assert seen == status, answer
        assert self.api.store.head == head
        assert answer.keys() == {"faultcode", "faultstring", "debuginfo"}
        return str(answer["faultstring"])
