# SPDX-License-Identifier: Apache-2.0

"""The bench itself: what a bar is, that a missed one is told, and that a slow day is no miss."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.bench import Figure, __main__, duration, in_turns, ratio, report

HELD = Figure("fine", 3, "flows changed", 4)
MISSED = Figure("slow", 2.5, "x ovs-ofctl", 1.5, today="2.5 s : 1 s")


def test_a_bar_in_seconds_is_refused() -> None:
    for unit in ("s", "ms", "us, median", "s, ports and all", "ports/s", "flows/s, confirmed"):
        with pytest.raises(ValueError, match="slow day"):
            Figure("some", 1, unit, 2)
        Figure("some", 1, unit)  # to be looked at, it is fine


@pytest.mark.parametrize("at_least", [False, True])
def test_what_is_exactly_at_the_bar_holds(at_least: bool) -> None:
    def held(value: float) -> bool:
        return Figure("some", value, "passes", 2, at_least).held

    assert held(2)
    assert (held(1.9), held(2.1)) == ((False, True) if at_least else (True, False))


def test_a_ratio_is_that_of_the_median_turn() -> None:
    figure = ratio("some", [1, 9, 4], [1, 3, 2], "peer", 2, reference="3 s")
    assert (figure.value, figure.unit, figure.bar, figure.held) == (2, "x peer", 2, True)
    assert (figure.today, figure.reference) == ("4 s : 2 s", "3 s")


def test_a_slow_minute_slows_both() -> None:
    ours, peers = [0.2] * 5, [0.1] * 5
    calm = ratio("some", ours, peers, "peer", 2)
    for slow in range(5):  # so many of the turns take ten times as long
        times = [10 if turn < slow else 1 for turn in range(5)]
        busy = ratio(
            "some",
            [each * by for each, by in zip(ours, times, strict=True)],
            [each * by for each, by in zip(peers, times, strict=True)],
            "peer",
            2,
        )
        assert busy.value == pytest.approx(calm.value)


def test_of_rates_the_bar_is_to_be_reached() -> None:
    assert ratio("some", [80, 90, 85], [100, 100, 100], "peer", 0.85, rate=True).held
    assert not ratio("some", [80, 90, 80], [100, 100, 100], "peer", 0.85, rate=True).held


def test_a_turn_without_its_peer_is_an_error() -> None:
    with pytest.raises(ValueError, match="shorter"):
        ratio("some", [1, 2], [1], "peer", 2)


def test_turns_alternate() -> None:
    order: list[str] = []
    times = in_turns(lambda: order.append("a"), lambda: order.append("b"), rounds=3)
    assert "".join(order) == "ababab"
    assert [len(each) for each in times] == [3, 3]


def test_durations_are_read_easily() -> None:
    texts = ["1.5 s", "120 s", "15 ms", "1 ms", "83.7 us"]
    assert [duration(s) for s in (1.5, 120, 0.015, 0.001, 0.0000837)] == texts


def test_a_miss_stands_out_and_fails_the_run() -> None:
    text, status = report.verdict([HELD, MISSED], [])
    assert status == 1
    assert "slow" in text and "MISSED" in text and "2.5 s : 1 s" in text
    assert "fine" not in text
    assert "2 figures, 2 with bars; 1 missed" in text


def test_a_run_without_misses_succeeds() -> None:
    text, status = report.verdict([HELD, Figure("seen", 1, "s")], [])
    assert (text, status) == ("2 figures, 1 with bars; 0 missed", 0)


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, list[dict[str, object]]]]:
    """``python -m tests.bench`` with these benchmarks: its status, its words, build/bench.json."""

    def run(
        benchmarks: dict[str, Callable[[], Iterator[Figure]]], *words: str
    ) -> tuple[int, str, list[dict[str, object]]]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(__main__, "BENCHMARKS", benchmarks)
        monkeypatch.setattr("sys.argv", ["bench", *words])
        status = __main__.main()
        file = Path("build/bench.json")
        return status, capsys.readouterr().out, json.loads(file.read_text())

    return run


def _fails() -> Iterator[Figure]:
    yield HELD
    raise AssertionError("no switch")


def test_a_run_writes_all_it_measured(run: Callable[..., tuple[int, str, list]]) -> None:
    status, words, rows = run({"one": lambda: iter([HELD]), "two": lambda: iter([MISSED])})
    assert status == 1
    assert "MISSED" in words
    assert [(row["name"], row["held"]) for row in rows] == [("fine", True), ("slow", False)]


def test_only_what_is_named_is_run(run: Callable[..., tuple[int, str, list]]) -> None:
    status, _, rows = run({"one": lambda: iter([HELD]), "two": _fails}, "one")
    assert (status, len(rows)) == (0, 1)


def test_a_benchmark_that_fails_fails_the_run(run: Callable[..., tuple[int, str, list]]) -> None:
    status, words, rows = run({"one": _fails, "two": lambda: iter([HELD])})
    assert status == 1
    assert "one did not come to its end" in words
    assert len(rows) == 2
