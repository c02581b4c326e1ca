# SPDX-License-Identifier: Apache-2.0

"""What ``ofproto/trace`` tells of a packet: where it leaves, as what, and after how many passes.

A packet that conntrack sends round again is followed there; what its state is on each round is
given to :func:`trace` in advance (``ct_next``), as the dummy datapath tracks nothing by itself.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from tests.lab import Lab

SET = re.compile(r"(\w+)\(([^()]*)\)")


class Told(NamedTuple):
    """``left`` is where copies leave, each interface with its VLAN tag (``wire0.101``); ``sets``
    what was written into the packet, by field; ``passes`` how often the datapath looked at it;
    ``punted`` whether the controller got it; ``nat`` what conntrack was told to translate."""

    left: frozenset[str]
    sets: dict[str, str]
    passes: int
    punted: bool
    nat: tuple[str, ...]


def trace(
    net: Lab, interface: str, flow: str, *, bridge: str = "br-int", ct_next: tuple[str, ...] = ()
) -> Told:
    """The story of a packet that comes in by an interface."""
    words = [word for state in ct_next for word in ("--ct-next", state)]
    packet = f"in_port={interface},{flow}"
    text = net.ovs.appctl("ofproto/trace", bridge, packet, "--names", *words)
    left: set[str] = set()
    sets: dict[str, str] = {}
    nat: list[str] = []
    lines = re.findall(r"^Datapath actions: (.*)$", text, re.MULTILINE)
    tag = "".join(re.findall(r"dl_vlan=(\d+)", flow))  # it keeps it, unless told otherwise
    for line in lines:
        for action in split(line):
            name, _, rest = action.partition("(")
            if name == "set":
                for kind, fields in SET.findall(rest):
                    for field in fields.split(","):
                        key, _, value = field.partition("=")
                        sets[f"{kind}.{key}"] = value
            elif name == "push_vlan":
                tag = re.search(r"vid=(\d+)", rest)[1]  # type: ignore[index]
            elif name == "pop_vlan":
                tag = ""
            elif name == "ct":
                nat += re.findall(r"nat\(([^()]*)\)", rest)
            elif not rest and action not in ("drop", "ct_clear"):
                left.add(f"{action}.{tag}" if tag else action)
    return Told(frozenset(left), sets, len(lines), "userspace(" in text, tuple(nat))


def split(actions: str) -> list[str]:
    """Datapath actions, apart: commas inside parentheses do not count."""
    found, depth, word = [], 0, ""
    for letter in actions.strip():
        depth += (letter == "(") - (letter == ")")
        if letter == "," and not depth:
            found.append(word)
            word = ""
        else:
            word += letter
    return [*found, word]
