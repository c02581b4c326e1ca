# SPDX-License-Identifier: Apache-2.0

"""``python -m tests.bench [--write] [NAME ...]``: run benchmarks, print figures as they come, write
build/bench.json; with ``--write``, which wants a whole run, also the table in docs/performance.md.
"""

import tenantry.controller.runtime  # noqa: F401  isort: skip
import sys
import time
from collections.abc import Callable, Iterator

from rich.console import Console

from tests.bench import (
    Figure,
    answers,
    api,
    codec,
    computing,
    counters,
    doors,
    drill,
    flood,
    gaps,
    groups,
    haproxy,
    health,
    judged,
    load_balancer,
    metrics,
    multicast,
    overlay,
    ovsdb,
    packet_in,
    ports,
    push,
    qos,
    reconnect,
    report,
    routed,
    routers,
    scale,
    waits,
)

BENCHMARKS: dict[str, Callable[[], Iterator[Figure]]] = {
    "codec": codec.bench,
    "push": push.bench,
    "reconnect": reconnect.bench,
    "ports": ports.bench,
    "more": ports.bench_more,
    "computing": computing.bench,
    "api": api.bench,
    "counters": counters.bench,
    "metrics": metrics.bench,
    "doors": doors.bench,
    "judged": judged.bench,
    "flood": flood.bench,
    "scale": scale.bench,
    "packet-in": packet_in.bench,
    "answers": answers.bench,
    "routers": routers.bench,
    "floating": routers.bench_floating,
    "routed": routed.bench,
    "groups": groups.bench,
    "members": groups.bench_members,
    "multicast": multicast.bench,
    "health": health.bench,
    "haproxy": haproxy.bench,
    "rules": groups.bench_rules,
    "load_balancer": load_balancer.bench,
    "qos": qos.bench,
    "overlay": overlay.bench,
    "hosts": overlay.bench_join,
    "ovsdb": ovsdb.bench,
    "waits": waits.bench,
    "drill": drill.bench,
    "move": gaps.bench_move,
    "gateway": gaps.bench_gateway,
    "mended": gaps.bench_mended,
}


def main() -> int:
    write = "--write" in sys.argv
    only = [word for word in sys.argv[1:] if word != "--write"]
    unknown = set(only) - BENCHMARKS.keys()
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
        return 2
    if write and only:
        print("--write wants a whole run: name no benchmark")
        return 2
    report.JSON.parent.mkdir(exist_ok=True)  # databases of benchmarks go there, too
    console = Console(highlight=False)
    figures: list[Figure] = []
    failed: list[str] = []
    for name, benchmark in BENCHMARKS.items():
        if not only or name in only:
            console.print(f"[dim]{time.strftime('%H:%M:%S')} {name} ...[/]")
            try:
                for figure in benchmark():
                    console.print(report.line(figure), soft_wrap=True)
                    figures.append(figure)
            except Exception:  # the figures of the others are still worth having
                console.print_exception()
                failed.append(name)
    report.save(figures)
    if write:
        report.write_page(figures)
    last, status = report.verdict(figures, failed)
    console.print(last, soft_wrap=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
