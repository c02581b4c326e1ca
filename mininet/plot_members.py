# SPDX-License-Identifier: Apache-2.0

"""Draws who has answered, and when: ``plot_members.py FILE.png``, on standard input as JSON when
each phase began and each answer (seconds, milliseconds, name). Runs in the project's virtual
environment, which has matplotlib."""

import json
import sys

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

REFUSED = "refused"


def main():
    picture = json.load(sys.stdin)
    answers = picture["answers"]
    names = sorted({name for _, _, name in answers if name})
    figure, (shares, waits) = pyplot.subplots(
        2, figsize=(8, 5.5), layout="constrained", sharex=True, height_ratios=(1, 1.4)
    )
    seconds = range(int(answers[-1][0]))  # whole ones
    below = [0] * len(seconds)
    for name in (*names, None):
        mine = [(asked, waited) for asked, waited, of in answers if of == name]
        color = None if name else "tab:red"
        heights = [sum(second <= asked < second + 1 for asked, _ in mine) for second in seconds]
        bars = shares.bar(seconds, heights, 0.9, below, color=color, align="edge")
        below = [one + more for one, more in zip(below, heights, strict=True)]
        label = name or REFUSED
        waits.plot(
            *zip(*mine, strict=True) if mine else ((), ()),
            ".",
            color=bars[0].get_facecolor(),
            label=label,
            markersize=3,
        )
    for phase, begin in picture["phases"].items():
        for axes in (shares, waits):
            axes.axvline(begin, color="black", linewidth=1)
        shares.annotate(f" {phase}", (begin, 1.03), xycoords=("data", "axes fraction"))
    shares.set_ylabel("answers a second")
    waits.set_yscale("log")
    waits.yaxis.set_major_formatter("{x:g}")
    waits.set_ylabel("answered after, ms")
    waits.set_xlabel("asked, s")
    waits.set_ylim(top=8 * max(waited for _, waited, _ in answers))
    waits.legend(loc="upper center", ncols=len(names) + 1)
    waits.grid(alpha=0.3)
    figure.suptitle("A member of a load balancer dies, and comes back")
    figure.savefig(sys.argv[1], dpi=120)


if __name__ == "__main__":
    main()
