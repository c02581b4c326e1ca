# SPDX-License-Identifier: Apache-2.0

"""What figures are measured beside, in turns: what any controller would have to have done."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, TypeVar

from tenantry.controller import runtime
from tests.bench import seconds, turns
from tests.bench.beside import Beside
from tests.bench.served import Client, Served
from tests.openvswitch import OpenVSwitch

T = TypeVar("T")

WORK = 75_000
WORK_NAME = "known work"
CHANGES = 30
PAUSE_SECONDS = 0.025
"""After a change of flows, OVS 3.1 spends some microseconds on every interface it has, and answers
nobody meanwhile. That is no part of the next change."""


def work(count: int = WORK) -> None:
    """Pure Python of a known size, of the kind that a controller is: tuples, dictionaries, bytes.
    75,000 take about 10 ms on the reference machine."""
    seen: dict[tuple[int, str], bytes] = {}
    for number in range(count):
        key = (number % 1000, "flow")
        seen[key] = number.to_bytes(8, "big") + seen.get(key, b"")[:8]


class Ofctl:
    """``ovs-ofctl``, on a bridge of its own in the same switch daemon: on ours, we would see
    foreign flows and remove them."""

    NAME = "ovs-ofctl --bundle"
    _BRIDGE = "br-peer"

    def __init__(self, ovs: OpenVSwitch) -> None:
        self._ovs = ovs
        ovs.add_bridge(self._BRIDGE)
        self._file = ovs.directory / "flows.txt"

    def hold(self, flows: list[str]) -> None:
        """The flows to push, as text."""
        self._file.write_text("\n".join(flows) + "\n")

    def push(self) -> float:
        """The seconds of ``ovs-ofctl --bundle add-flows`` with what was given to :meth:`hold`."""
        words = ("--bundle", "add-flows", self._BRIDGE, str(self._file))
        took = seconds(lambda: self._ovs.ofctl(*words))
        self._ovs.ofctl("del-flows", self._BRIDGE)
        return took


class Plain(Beside):
    """The plain controller of ``plain.py``, and a client of it."""

    NAME = "a plain controller"
    AS_MANY = f"{NAME}, as many flows"
    _BODY: ClassVar = {"port": {"network_id": "0" * 36, "fixed_ips": ["10.0.0.1", "fd00::1"]}}

    def __init__(self, directory: Path) -> None:
        super().__init__("tests.bench.plain", directory=str(directory))
        where = self.call("where")
        self.openflow: tuple[str, int] = tuple(where["openflow"])
        self.client = Client(where["api"], self.pid)

    def close(self) -> None:
        self.client.close()
        super().close()

    def change(self) -> None:
        """A request, answered when its write was synced and the switch had confirmed 15 flows."""
        self.client.api("POST", "/change", self._BODY)

    def push(self, flows: int) -> float:
        """The seconds it takes to compute and push so many flows; the switch is empty again."""
        self.call("prepare", flows=flows)
        took = seconds(lambda: self.call("push"))
        self.call("clear")
        return took


@contextmanager
def plain(ovs: OpenVSwitch | None = None) -> Iterator[Plain]:
    """The plain controller; of a bridge of its own on this switch."""
    with tempfile.TemporaryDirectory(dir="build") as directory, Plain(Path(directory)) as made:
        if ovs is not None:
            host, port = made.openflow
            ovs.add_bridge("br-plain", f"tcp:{host}:{port}")
            made.call("await_switch")
        yield made


def paused(work: Callable[[], T]) -> T:
    """Work after which the switch comes to rest, before whoever is next."""
    result = work()
    runtime.sleep(PAUSE_SECONDS)
    return result


def beside_plain(
    plain: Plain,
    controller: Served,
    change: Callable[[], object],
    back: Callable[[], object] | None = None,
) -> tuple[list[float], list[float]]:
    """A change again and again, in turns with one of the plain controller: the seconds of each from
    the request until the switch had confirmed it. ``back`` undoes the change between the turns."""
    ours, plains = [], []
    for _ in turns(CHANGES):
        ours.append(paused(lambda: controller.confirmed(change)))
        if back is not None:
            paused(lambda: controller.confirmed(back))
        plains.append(paused(lambda: seconds(plain.change)))
    return ours, plains
