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

from tests.bench import Figure, number

JSON = Path("build/bench.json")
PAGE = Path("docs/performance.md")
_LOAD_BEFORE = os.getloadavg()[0]
_BEGIN, _END = (
    "<!-- figures: written by python -m tests.bench --write -->",
    "<!-- end of figures -->",
)


def line(figure: Figure) -> str:
    """A figure for the terminal, in rich's markup; one that missed its bar stands out."""
    verdict = "" if figure.bar is None else "[green]held[/]" if figure.held else _MISSED
    text = f"{figure.name:28} {number(figure.value):>9} {figure.unit:36} {bar(figure):>9}"
    today = f"[dim]{figure.today}[/]" if figure.today else ""
    text = text if figure.held else f"[bold red]{text}[/]"
    return f"  {text} {verdict:6}  {today}".rstrip()


_MISSED = "[bold white on red]MISSED[/]"


def bar(figure: Figure) -> str:
    if figure.bar is None:
        return ""
    return f"{'≥' if figure.at_least else '≤'} {figure.bar:,g}"


def verdict(figures: list[Figure], failed: list[str]) -> tuple[str, int]:
    """The last words about a run, and its exit status: misses once more, and what did not run."""
    missed = [figure for figure in figures if not figure.held]
    lines = [line(figure) for figure in missed]
    lines += [f"  [bold red]{name} did not come to its end[/]" for name in failed]
    judged = sum(figure.bar is not None for figure in figures)
    lines.append(f"{len(figures)} figures, {judged} with bars; {len(missed)} missed")
    return "\n".join(lines), 1 if missed or failed else 0


def save(figures: list[Figure]) -> None:
    """For programs: a list of name, value, unit, bar, today, held."""
    keys = ("name", "value", "unit", "bar", "today", "held")
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
    yield "| Figure | Value | Unit | Bar | Held | Today, ours : peer | The bar, for reference |"
    yield "|---|--:|---|--:|---|--:|--:|"
    for figure in figures:
        held = "" if figure.bar is None else "yes" if figure.held else "**no**"
        cells = (f"`{figure.name}`", number(figure.value), figure.unit, bar(figure), held)
        yield f"| {' | '.join((*cells, figure.today, figure.reference))} |"
