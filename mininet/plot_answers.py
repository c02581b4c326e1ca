# SPDX-License-Identifier: Apache-2.0

"""Draws the answers to questions around an event: ``plot_answers.py FILE.png``, on standard input
as JSON what :meth:`pacer.Answers.around` returns, for each run. Runs in the project's virtual
environment, which has matplotlib."""

import json
import sys

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

MARGIN = 1.3  # of the longest gap is shown on both sides of it
LEAST = 100  # milliseconds on both sides


def main():
    picture = json.load(sys.stdin)
    runs = picture["runs"]
    figure, rows = pyplot.subplots(
        len(runs),
        figsize=(8, 1.2 + 2.2 * len(runs)),
        layout="constrained",
        sharex=True,
        sharey=True,
        squeeze=False,
    )
    longest = max(run["gap"] for run in runs.values())
    for axes, (name, run) in zip(rows[:, 0], runs.items(), strict=True):
        answered = [
            (asked, waited)
            for asked, waited in zip(run["asked"], run["waited"], strict=True)
            if waited is not None
        ]
        axes.plot(*zip(*answered, strict=True), ".", markersize=3)
        axes.axvline(0, color="black", linewidth=1)
        axes.axvspan(run["from"], run["from"] + run["gap"], color="tab:red", alpha=0.2, linewidth=0)
        axes.annotate(
            f"{run['gap']:.0f} ms",
            (run["from"] + run["gap"] / 2, 0.5),
            xycoords=("data", "axes fraction"),
            horizontalalignment="center",
            color="tab:red",
        )
        axes.set_title(f"{name + ': ' if name else ''}{run['lost']} lost", fontsize="medium")
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.set_ylabel("answered after, ms")
        axes.grid(alpha=0.3)
    around = max(LEAST, MARGIN * longest)
    rows[-1, 0].set_xlim(-around / 2, longest + around)
    rows[-1, 0].set_xlabel(f"asked, ms since {picture['event']}")
    figure.suptitle(picture["title"])
    figure.savefig(sys.argv[1], dpi=120)


if __name__ == "__main__":
    main()
