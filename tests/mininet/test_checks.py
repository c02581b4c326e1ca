# SPDX-License-Identifier: Apache-2.0

"""The demo's own judgement: what it calls wrong must be wrong, and what is wrong it must see."""

import importlib
import struct
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.pacer import Answers

ROOT = Path(__file__).resolve().parents[2]
RED, BLUE = "fa:16:3e:00:00:01", "fa:16:3e:00:00:02"


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "mininet"))
    return importlib.import_module("wire")


@pytest.fixture
def reachability(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "mininet"))
    return importlib.import_module("reachability")


def test_vlan_in_the_frame_or_beside_it(wire: ModuleType) -> None:
    macs = bytes(12)
    untagged = macs + b"\x08\x00" + bytes(4)
    tagged = macs + b"\x81\x00" + (0x6000 | 1000).to_bytes(2, "big") + b"\x08\x00"
    assert wire.vlan(untagged, []) is None
    assert wire.vlan(tagged, []) == 1000

    def beside(status: int, tag: int) -> list[tuple[int, int, bytes]]:
        data = struct.pack("=IIIHHHH", status, 60, 18, 0, 14, tag, 0x8100)
        return [(wire.SOL_PACKET, wire.PACKET_AUXDATA, data)]

    assert wire.vlan(untagged, beside(wire.TP_STATUS_VLAN_VALID, 0x6000 | 200)) == 200
    assert wire.vlan(untagged, beside(1, 0)) is None


def test_foreign_frames_are_told_from_ours(wire: ModuleType) -> None:
    allowed = {1000: {RED}, 1001: {BLUE}}
    frames = {(1000, RED): 5, (1001, BLUE): 3, (1000, BLUE): 1, (None, RED): 2, (7, RED): 1}
    carried, foreign = wire.report(frames, allowed)
    assert carried == {1000: 5, 1001: 3}
    assert foreign == [
        f"1 from {BLUE} in VLAN 1000",
        f"1 from {RED} in VLAN 7",
        f"2 from {RED} untagged",
    ]


def test_tunnels_are_told_from_other_traffic(wire: ModuleType) -> None:
    ends = bytes([192, 168, 77, 1, 192, 168, 77, 2])
    vxlan = struct.pack("!HHHHII", 50000, 4789, 100, 0, 1 << 27, 4096 << 8)

    def frame(ethertype: int = 0x0800, protocol: int = 17, inside: bytes = vxlan) -> bytes:
        return bytes(12) + struct.pack("!HB8xB2x", ethertype, 0x45, protocol) + ends + inside

    assert wire.by_tunnel(frame(), []) == ("192.168.77.1", "192.168.77.2", 4096)
    assert wire.by_tunnel(frame(ethertype=0x86DD), []) is None
    assert wire.by_tunnel(frame(protocol=6), []) is None
    assert wire.by_tunnel(frame(inside=struct.pack("!HH12x", 50000, 53)), []) is None
    assert wire.by_tunnel(frame()[:42], []) is None


@pytest.mark.parametrize(
    ("answers", "gap"),
    [
        ("", (0, 0)),
        ("yyy", (0, 0)),
        ("nyy", (0, 1)),
        ("ynynnyn", (3, 2)),
        ("yynnn", (2, 3)),
        ("nn", (0, 2)),
    ],
)
def test_the_longest_gap(answers: str, gap: tuple[int, int]) -> None:
    seen = Answers(0.0, [0.5 if answer == "y" else None for answer in answers], per_second=10)
    assert seen.longest() == gap
    assert seen.gap == gap[1] / 10
    assert seen.lost == [number for number, answer in enumerate(answers) if answer == "n"]


def seen(reachability: ModuleType, **answers: set[str]) -> dict[str, Any]:
    probes = [f"{kind} {v}" for kind in reachability.KINDS for v in reachability.VERSIONS]
    return {name: dict.fromkeys(probes, answered) for name, answered in answers.items()}


def expected(reachability: ModuleType, **answers: set[str]) -> dict[str, Any]:
    return {name: dict.fromkeys(reachability.VERSIONS, who) for name, who in answers.items()}


@pytest.mark.parametrize(
    ("r1", "good"),
    [
        ({"r2"}, True),
        (set(), False),  # its own tenant does not answer
        ({"r2", "b1"}, False),  # another does
        ({"b1"}, False),
        ({"r2", "02:00:00:00:00:09"}, False),  # somebody unknown does
    ],
)
def test_a_difference_fails_the_table(reachability: ModuleType, r1: set[str], good: bool) -> None:
    stations = [
        reachability.Station(name, name[0], 0, "", ("10.0.0.1",)) for name in ("r1", "r2", "b1")
    ]
    wanted = expected(reachability, r1={"r2"}, r2={"r1"}, b1=set())
    answers = seen(reachability, r1=r1, r2={"r1"}, b1=set())
    lines, verdict = reachability.table(stations, wanted, answers)
    assert verdict is good
    assert lines[2].endswith("ok" if good else "WRONG")
    assert lines[3].endswith("ok")


def test_one_probe_out_of_four_fails_the_table(reachability: ModuleType) -> None:
    stations = [reachability.Station(name, "r", 0, "", ()) for name in ("r1", "r2")]
    answers = seen(reachability, r1={"r2"}, r2={"r1"})
    answers["r1"]["TCP IPv6"] = set()
    wanted = expected(reachability, r1={"r2"}, r2={"r1"})
    lines, verdict = reachability.table(stations, wanted, answers)
    assert not verdict
    assert "WRONG" in lines[2]
