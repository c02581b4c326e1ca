"""``python -m tests.bench [NAME]``: run benchmarks, print figures, write build/bench.json."""

import controller.runtime  # noqa: F401  isort: skip
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench import (
    Figure,
    api,
    codec,
    computing,
    drill,
    packet_in,
    ports,
    push,
    reconnect,
    scale,
)

BENCHMARKS: dict[str, Callable[[], Iterator[Figure]]] = {
    "codec": codec.bench,
    "push": push.bench,
    "reconnect": reconnect.bench,
    "ports": ports.bench,
    "more": ports.bench_more,
    "computing": computing.bench,
    "api": api.bench,
    "scale": scale.bench,
    "packet-in": packet_in.bench,
    "drill": drill.bench,
}


def main() -> int:
    only = sys.argv[1:]
    unknown = set(only) - BENCHMARKS.keys()
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
        return 2
    console = Console(highlight=False)
    figures: list[Figure] = []
    for name, benchmark in BENCHMARKS.items():
        if not only or name in only:
            console.print(f"[dim]{time.strftime('%H:%M:%S')} {name} ...[/]")
            figures += benchmark()
    table = Table("figure", "value", "unit", "bar", "held", box=None)
    for figure in figures:
        sign = ">=" if figure.at_least else "<="
        bar = "" if figure.bar is None else f"{sign} {figure.bar:g}"
        held = "" if figure.bar is None else "[green]yes[/]" if figure.held else "[red]NO[/]"
        table.add_row(figure.name, f"{figure.value:.4g}", figure.unit, bar, held)
    console.print(table)
    file = Path("build/bench.json")
    file.parent.mkdir(exist_ok=True)
    keys = ("name", "value", "unit", "bar", "held")
    rows = [{key: getattr(figure, key) for key in keys} for figure in figures]
    file.write_text(json.dumps(rows, indent=1) + "\n")
    return 0 if all(figure.held for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
