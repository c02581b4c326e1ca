# SPDX-License-Identifier: Apache-2.0

"""Draws latencies as cumulative distributions: ``plot_latency.py FILE.png``, the times in ms by
name as JSON on standard input. Runs in the project's virtual environment, which has matplotlib."""

import json
import sys

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot


def main():
    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    for name, times in json.load(sys.stdin).items():
        ordered = sorted(times)
        shares = [(number + 1) / len(ordered) for number in range(len(ordered))]
        (line,) = axes.step(ordered, shares, where="post", label=name)
        middle = ordered[len(ordered) // 2]
        axes.axvline(middle, color=line.get_color(), linestyle=":", linewidth=1)
        axes.annotate(f" {middle:.2f} ms", (middle, 0.02), color=line.get_color())
    axes.set_xscale("log")
    axes.set_xlabel("round trip between two networks on two switches, ms")
    axes.set_ylabel("share of packets")
    axes.set_title("Routed where it starts, and by a machine in the middle")
    axes.grid(alpha=0.3, which="both")
    axes.legend(loc="lower right")
    figure.savefig(sys.argv[1], dpi=120)


if __name__ == "__main__":
    main()
