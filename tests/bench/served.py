# SPDX-License-Identifier: Apache-2.0

"""A controller in a process of its own, and a client of its API with one connection kept alive.

The child is the whole of ``tenantry serve``, but can also be asked when its switches had confirmed
what (see :func:`main`), to the microsecond and at no cost to it.
"""

import tenantry.controller.runtime  # noqa: F401  isort: skip
import http.client
import json
import select
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tenantry.controller import runtime
from tenantry.controller.cli import features
from tenantry.controller.model import Binding
from tenantry.controller.openflow import codec
from tenantry.controller.serve import Controller
from tenantry.controller.switch.connection import Connection
from tests import namespace
from tests.bench import beside
from tests.bench.beside import Beside

SECONDS = 120


class Client:
    """One keep-alive connection to an API."""

    def __init__(self, url: str, pid: int) -> None:
        """``pid`` is the server, in whose network namespace this client lives."""
        self.url = url
        self._pid = pid
        parts = urlsplit(url)
        assert parts.hostname and parts.port
        self._connection = http.client.HTTPConnection(parts.hostname, parts.port)
        self._connect()

    def close(self) -> None:
        self._connection.close()

    def _connect(self) -> None:
        self._connection.close()
        with namespace.beside(self._pid):
            self._connection.connect()

    def send(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """One request; the answer's body as it came. Errors: AssertionError."""
        if select.select([self._connection.sock], [], [], 0)[0]:
            self._connect()  # the server has hung up, as it may when a client was silent for long
        self._connection.request(method, path, body)
        response = self._connection.getresponse()
        answer = response.read()
        assert response.status < 400, f"{method} {path}: {response.status} {answer[:500]!r}"
        return answer

    def api(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        answer = self.send(method, path, data)
        return json.loads(answer) if answer else None

    def network(self, cidrs: list[str], **attributes: Any) -> str:
        """The id of a new network with a subnet for each CIDR."""
        network = self.api("POST", "/v2.0/networks", {"network": attributes})["network"]
        id: str = network["id"]
        for cidr in cidrs:
            version = 6 if ":" in cidr else 4
            subnet = {"network_id": id, "cidr": cidr, "ip_version": version}
            self.api("POST", "/v2.0/subnets", {"subnet": subnet})
        return id

    def ports(self, ports: list[dict[str, Any]], at_once: int = 1000) -> list[str]:
        """Create ports in bulk, as many in a request as fit its limit of 1 MiB; their ids."""
        ids: list[str] = []
        for start in range(0, len(ports), at_once):
            body = {"ports": ports[start : start + at_once]}
            ids += [port["id"] for port in self.api("POST", "/v2.0/ports", body)["ports"]]
        return ids


class Served(Beside):
    """A controller beside this process, and a client of it."""

    def __init__(self, directory: Path, **options: str) -> None:
        """``options`` are "group__name" of the configuration; its database is in ``directory``."""
        super().__init__("tests.bench.served", file=str(configuration(directory, **options)))
        where = self.call("where")
        self.openflow: tuple[str, int] = tuple(where["openflow"])
        self.api: str = where["api"]
        self.client = Client(self.api, self.pid)

    def close(self) -> None:
        self.client.close()
        super().close()

    def settled(self, switches: int) -> float:
        """When all was confirmed by so many switches, by time.perf_counter()."""
        moment: float = self.call("settled", switches=switches)
        return moment

    def confirmed(self, change: Callable[[], object], switches: int = 1) -> float:
        """Make a change; the seconds until so many switches had confirmed it."""
        start = time.perf_counter()
        change()
        return self.settled(switches) - start


def configuration(directory: Path, **options: str) -> Path:
    """A configuration file; ``options`` are "group__name". Listens at any port of the loopback."""
    values = {
        "store__url": f"sqlite:///{directory}/tenantry.db",
        "api__listen": "127.0.0.1:0",
        "openflow__listen": "127.0.0.1:0",
        "network_log__file": "",
        "ovsdb__connections": "",
        "ovsdb__datapath_type": "netdev",
        **options,
    }
    lines = []
    for name, value in values.items():
        group, _, option = name.partition("__")
        lines.append(f"[{group}]\n{option} = {value}\n")
    file = directory / "tenantry.conf"
    file.write_text("".join(lines))
    return file


class Watch:
    """What a parent may ask a controller in this process."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._taken = [0, 0]
        take = Connection.take

        def counted(connection: Connection, header: codec.Header, data: bytes) -> None:
            self._taken[0] += 1
            self._taken[1] += len(data)
            take(connection, header, data)

        Connection.take = counted  # type: ignore[method-assign]

    def where(self) -> dict[str, Any]:
        return {"api": self._controller.api_url, "openflow": self._controller.openflow}

    def settled(self, switches: int) -> float:
        controller = self._controller

        def done() -> bool:
            return (
                len(controller.progress.reconcilers) == switches
                and not controller.inventory.waiting_for()
                and controller.status.settled()
                # What this connection has confirmed, not one before it.
                and all(
                    reconciler.realised.revision == controller.store.head
                    for reconciler in controller.progress.reconcilers.values()
                )
            )

        assert controller.progress.wait_until(done, SECONDS), "switches did not confirm in time"
        return time.perf_counter()

    def active(self, port: str) -> float:
        """When the port was wired, by time.perf_counter()."""
        controller = self._controller
        assert controller.progress.wait_until(
            lambda: controller.status.port(port) == "ACTIVE", SECONDS
        ), port
        return time.perf_counter()

    def taken(self) -> tuple[int, int]:
        """Messages and octets that switches have answered."""
        return self._taken[0], self._taken[1]

    def echo(self, count: int) -> float:
        """The longest that a switch took to answer one of so many echo requests, a little apart, in
        seconds; that is also how long it would have waited for an answer of ours."""
        (connection,) = self._controller.progress.connections.values()
        took = []
        for _ in range(count):
            start = time.perf_counter()
            assert connection.answers()
            took.append(time.perf_counter() - start)
            runtime.sleep(0.01)
        return max(took)

    def runs(self) -> dict[str, int]:
        """How often units of each app and kind were compiled."""
        found: dict[str, int] = {}
        for (app, kind, _), runs in self._controller.engine.runs.items():
            found[f"{app} {kind}"] = found.get(f"{app} {kind}", 0) + runs.count
        return found

    def counts(self) -> dict[str, float]:
        controller = self._controller
        bound = controller.model.all(Binding)
        return {
            "flows": sum(len(wanted.flows) for wanted in controller.engine.wanted.values()),
            "bound": len(bound),
            "active": sum(controller.status.port(str(port)) == "ACTIVE" for port in bound),
            "sent": sum(
                reconciler.sent.added for reconciler in controller.progress.reconcilers.values()
            ),
            "resident": beside.resident(),
        }


def main() -> None:
    controller = Controller(features.load([beside.arguments()["file"]]))
    watch = Watch(controller)
    calls = ("where", "settled", "active", "counts", "runs", "taken", "echo")
    try:
        beside.answer({name: getattr(watch, name) for name in calls})
    finally:
        controller.stop()


if __name__ == "__main__":
    main()
