# SPDX-License-Identifier: Apache-2.0

"""Who has much to do keeps nobody waiting; and what eventlet is mended in."""

from __future__ import annotations

import gc
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tenantry.controller import runtime
from tenantry.controller.service.loop import run_in_slices


def test_of_those_who_breathe_one_goes_on_at_a_time() -> None:
    slices: list[int] = []

    def work(worker: int) -> None:
        for _ in range(3):
            slices.append(worker)
            runtime.yield_now()

    workers = [runtime.spawn(work, worker) for worker in range(10)]
    runtime.pause()  # what they do before they breathe for the first time
    between = []
    while not all(worker.dead for worker in workers):
        before = len(slices)
        runtime.pause()
        between.append(len(slices) - before)
    assert max(between) == 1
    assert slices == [*range(10)] * 3


def test_who_is_killed_while_others_breathe_keeps_nobody() -> None:
    def work() -> None:
        while True:
            runtime.yield_now()

    workers = [runtime.spawn(work) for _ in range(3)]
    for _ in range(3):
        runtime.pause()
    for worker in workers:
        worker.kill()
    runtime.yield_now()


@pytest.fixture
def looked_at() -> Iterator[list[Any]]:
    """All that collections of garbage looked at, or would have if they were full."""
    found: list[Any] = []

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            found.extend(gc.get_objects())

    gc.collect()
    gc.callbacks.append(note)
    yield found
    gc.callbacks.remove(note)
    gc.unfreeze()


def test_no_collection_looks_at_what_an_engine_has_made(looked_at: list[Any]) -> None:
    made: list[list[int]] = []

    class Engine:
        def run(self) -> Iterator[None]:
            for _ in range(2 * runtime.MANY):
                made.append([])
                yield

    run_in_slices(Engine())  # type: ignore[arg-type]
    _ = [[] for _ in range(2 * gc.get_threshold()[0])]
    assert looked_at
    assert {*map(id, looked_at)}.isdisjoint(map(id, made))


def test_several_may_pause_collections() -> None:
    with runtime.collections_paused():
        other = runtime.collections_paused()
        other.__enter__()
    assert not gc.isenabled()
    other.__exit__(None, None, None)
    assert gc.isenabled()


@pytest.mark.timeout(20)
@pytest.mark.parametrize("script", ["exit 3", "head -c 100000 >/dev/null; kill -9 $$"])
def test_a_child_that_dies_before_it_has_read_all_ends_the_writing(script: str) -> None:
    done = subprocess.run(["sh", "-c", script], input=bytes(10_000_000), capture_output=True)
    assert done.returncode in (3, -9)


@pytest.mark.timeout(20)
def test_what_a_child_reads_is_whole() -> None:
    done = subprocess.run(["wc", "-c"], input=bytes(10_000_000), capture_output=True, text=False)
    assert int(done.stdout) == 10_000_000
