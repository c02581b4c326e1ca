# SPDX-License-Identifier: Apache-2.0

"""Where figures go: the terminal, build/bench.json, and the table in docs/performance.md."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench import Figure

JSON = Path("build/bench.json")
PAGE = Path("docs/performance.md")
_LOAD_BEFORE = os.getloadavg()[0]
_BEGIN, _END = (
    "<!-- figures: written by python -m tests.bench --write -->",
    "<!-- end of figures -->",
)


def line(figure: Figure) -> str:
    """A figure for the terminal, in rich's markup."""
    verdict = ""
    if figure.bar is not None:
        verdict = "  [green]held[/]" if figure.held else "  [red]MISSED[/]"
    return (
        f"  {figure.name:28} {number(figure.value):>10} {figure.unit:30} {bar(figure):>9}{verdict}"
    )


def number(value: float) -> str:
    """Three figures that mean something, and no exponents."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def bar(figure: Figure) -> str:
    if figure.bar is None:
        return ""
    return f"{'≥' if figure.at_least else '≤'} {figure.bar:,g}"


def save(figures: list[Figure]) -> None:
    """For programs: a list of name, value, unit, bar, held."""
    keys = ("name", "value", "unit", "bar", "held")
    rows = [{key: getattr(figure, key) for key in keys} for figure in figures]
    JSON.write_text(json.dumps(rows, indent=1) + "\n")


def write_page(figures: list[Figure]) -> None:
    """Replace the table in docs/performance.md; the rest of the page is a person's."""
    before, rest = PAGE.read_text().split(_BEGIN)
    _, after = rest.split(_END)
    table = "\n".join([*_head(), "", *_table(figures)])
    PAGE.write_text(f"{before}{_BEGIN}\n\n{table}\n\n{_END}{after}")


def _head() -> Iterator[str]:
    words = ["ovs-vswitchd", "--version"]
    switch = subprocess.run(words, capture_output=True, text=True).stdout.splitlines()[0]
    cores = f"{len(os.sched_getaffinity(0))} cores ({_processor()})"
    yield f"{time.strftime('%Y-%m-%d')}; {cores}, Linux {platform.release()},"
    yield f"Python {platform.python_version()}, {switch}, userspace datapath."
    yield f"Load average before the run: {_LOAD_BEFORE:.1f}."


def _processor() -> str:
    with open("/proc/cpuinfo") as lines:
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _table(figures: list[Figure]) -> Iterator[str]:
    yield "| Figure | Value | Unit | Bar | Held |"
    yield "|---|--:|---|--:|---|"
    for figure in figures:
        held = "" if figure.bar is None else "yes" if figure.held else "**no**"
        value = number(figure.value)
        yield f"| `{figure.name}` | {value} | {figure.unit} | {bar(figure)} | {held} |"
