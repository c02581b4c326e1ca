# SPDX-License-Identifier: Apache-2.0

"""Octavia's API, as tests ask it: on the endpoint ``/load-balancer``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.api.conftest import Api

LBAAS = "/load-balancer/v2.0/lbaas"

COLLECTIONS = {"l7policy": "l7policies"}


class Lbaas:
    """A client that checks the status of every answer, and remembers nothing."""

    def __init__(self, api: Api, headers: Mapping[str, str] | None = None) -> None:
        self.api = api
        self._headers = dict(headers or {})

    def request(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        return self.api.request(method, f"{LBAAS}/{path}", body, **self._headers)

    def answer(self, status: int, method: str, path: str, body: object = None) -> Any:
        seen, answer = self.request(method, path, body)
        assert seen == status, (seen, answer)
        return answer

    def create(self, kind: str, of: str = "", **attributes: Any) -> Any:
        """``of``: the path of what it is a part of, with a slash."""
        return self.answer(201, "POST", of + collection(kind), {kind: attributes})[kind]

    def show(self, kind: str, id: str, of: str = "") -> Any:
        return self.answer(200, "GET", f"{of}{collection(kind)}/{id}")[kind]

    def list(self, kind: str, query: str = "", of: str = "") -> Any:
        path = f"{of}{collection(kind)}"
        return self.answer(200, "GET", f"{path}?{query}")[path.rpartition("/")[2]]

    def update(self, kind: str, id: str, of: str = "", **attributes: Any) -> Any:
        path = f"{of}{collection(kind)}/{id}"
        return self.answer(200, "PUT", path, {kind: attributes})[kind]

    def delete(self, kind: str, id: str, of: str = "") -> None:
        self.answer(204, "DELETE", f"{of}{collection(kind)}/{id}")

    def refused(self, status: int, words: str, method: str, path: str, body: object = None) -> None:
        """A refusal in Octavia's form, with these words in it, which changes nothing."""
        head = self.api.store.head
        seen, answer = self.request(method, path, body)
        assert seen == status, (seen, answer)
        assert answer.keys() == {"faultcode", "faultstring", "debuginfo"}, answer
        assert words in answer["faultstring"], answer
        assert self.api.store.head == head

    def not_created(
        self, status: int, words: str, kind: str, of: str = "", **attributes: Any
    ) -> None:
        self.refused(status, words, "POST", of + collection(kind), {kind: attributes})

    def not_updated(
        self, status: int, words: str, kind: str, id: str, of: str = "", **attributes: Any
    ) -> None:
        self.refused(status, words, "PUT", f"{of}{collection(kind)}/{id}", {kind: attributes})

    # What tests begin with

    def balancer(self, cidr: str = "10.0.0.0/24", **attributes: Any) -> Any:
        """A load balancer on a network of its own."""
        network = self.api.create("network")["id"]
        version = 6 if ":" in cidr else 4
        subnet = self.api.create("subnet", network_id=network, cidr=cidr, ip_version=version)
        return self.create("loadbalancer", vip_subnet_id=subnet["id"], **attributes)

    def listener(self, balancer: Any, protocol: str = "HTTP", port: int = 80) -> Any:
        of = {"loadbalancer_id": balancer["id"]}
        return self.create("listener", protocol=protocol, protocol_port=port, **of)

    def pool(self, of: Any, protocol: str = "HTTP", **attributes: Any) -> Any:
        """Of a load balancer, or of a listener."""
        of = {"listener_id" if "protocol" in of else "loadbalancer_id": of["id"]}
        attributes = {"lb_algorithm": "ROUND_ROBIN", **attributes}
        return self.create("pool", protocol=protocol, **of, **attributes)

    def member(self, pool: Any, address: str, port: int = 80, **attributes: Any) -> Any:
        of = f"pools/{pool['id']}/"
        return self.create("member", of, address=address, protocol_port=port, **attributes)

    def members(self, pool: Any) -> Any:
        return self.list("member", of=f"pools/{pool['id']}/")


def collection(kind: str) -> str:
    return COLLECTIONS.get(kind, f"{kind}s")
