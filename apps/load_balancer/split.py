# SPDX-License-Identifier: Apache-2.0

"""Which member gets which connection, if that is told by a few bits of the client's port.

The space of BITS is cut into *parts* by masked rows of several tiers, as in Niagara (Kang et al.,
"Efficient Traffic Splitting on Commodity Switches", CoNEXT 2015): the one row that takes all is cut
by more specific ones, and these by yet more specific ones, each a power of two of the space, until
every part has its share. So a part costs three rows at most (more, of very unequal ones), pools
with the same shares have them in common, and what a switch has decided once is good for many
connections.

Why these bits. For connections to one destination Linux takes source ports upwards, all of them
even as long as there are any: in steps of 2 (before 5.18), or of 2 to 16, at random
(``__inet_hash_connect``). So the lowest bit tells nothing. Of blocks of 16 ports a client meets one
after another: cut by these, what it begins goes round, part by part, and is more even than at
random (of 10,000 connections over 10 parts, the part that is farthest off is so by 3 %; at random,
or by a hash, by 5 %). Smaller blocks have no rhythm, and larger ones do not fit the range of ports
(32768 to 60999): they come last. Others take ports at random, and so does everybody for UDP; NAT
of OVS and of Linux leaves a port as it is if it can, and else takes another near it or at random.
These are even in any bits. A client that always has the same source port always gets the same
member.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from math import gcd
from typing import NamedTuple

BITS = (4, 5, 6, 7, 8, 9, 3, 2, 1, 10, 11, 12, 13, 14, 15)
"""The bits of a source port that are masked, in the order in which they cut the space."""

TOLERANCE = 0.01
"""By how much of its share a part may be larger or smaller, if that is a port or more: so, of equal
parts, if there are up to 655."""

_SPACE = 1 << len(BITS)


class Row(NamedTuple):
    """The connections of a part: ``port & mask == value``, if no row of a higher rung has them."""

    part: int
    value: int
    mask: int
    rung: int  # 0 to len(BITS): how many bits are masked


class Split(NamedTuple):
    """What the members of a pool have of its connections, in the order of the parts."""

    shares: tuple[int, ...]  # without a common divisor: (1, 1, 1) of any three equal members
    slots: tuple[int, ...]  # whose the parts are


def split(weights: Mapping[int, int]) -> Split:
    """The parts that members have, by their slots and weights (1 to 256).

    A slot has the part of its own number, if there are so many; the others fill the gaps, in order.
    So if no slot is free below them, the last member comes and goes, and no other's part is another
    one's then; and if any other goes, the last has its part.
    """
    count, divisor = len(weights), gcd(*weights.values())
    others = iter(sorted(slot for slot in weights if slot >= count))
    slots = tuple(part if part in weights else next(others) for part in range(count))
    return Split(tuple(weights[slot] // divisor for slot in slots), slots)


def parts(n: int) -> tuple[Row, ...]:
    """Rows of ``n`` equal parts: see ``cut``."""
    return cut((1,) * n)


@lru_cache
def cut(shares: tuple[int, ...]) -> tuple[Row, ...]:
    """Rows of parts with these shares, from the highest rung down.

    The part that is farthest from its share, and the one that is farthest off on the other side:
    one gives to the other as large a block as brings both nearest, until all have what is theirs.

    Errors: ValueError, if there is no part, one without a share, or more than there are ports.
    """
    if not 0 < len(shares) <= _SPACE or min(shares) <= 0:
        raise ValueError(f"{len(shares)} parts of {_SPACE}, of which none may be empty")
    # Sizes are in units that make whole numbers of all: a port has as many as there are shares.
    port = sum(shares)
    first = shares.index(max(shares))
    over = [-_SPACE * share for share in shares]  # what a part has beyond its share
    over[first] += _SPACE * port
    owner = {(0, 0): first}  # of blocks (depth, value), by rows
    blocks: list[set[tuple[int, int]]] = [set() for _ in shares]  # what is left of them
    blocks[first].add((0, 0))
    unsettled = set(range(len(shares)))
    while unsettled:
        worst = max(unsettled, key=lambda part: (abs(over[part]) / shares[part], -part))
        if abs(over[worst]) <= TOLERANCE * _SPACE * shares[worst]:
            break
        most, least = over.index(max(over)), over.index(min(over))
        giver, taker = (worst, least) if over[worst] > 0 else (most, worst)
        left, depth = min(
            (abs(over[giver] - block) + abs(over[taker] + block), depth)
            for depth in range(min(blocks[giver])[0], len(BITS) + 1)
            for block in [port * _SPACE >> depth]
        )
        if left >= over[giver] - over[taker]:
            unsettled.discard(worst)  # a single port is too much
            continue
        whole = max(block for block in blocks[giver] if block[0] <= depth)
        blocks[giver].remove(whole)
        above, value = whole
        blocks[giver] |= {(bit + 1, value | 1 << bit) for bit in range(above, depth)}
        blocks[taker].add((depth, value))
        owner[depth, value] = taker
        over[giver] -= port * _SPACE >> depth
        over[taker] += port * _SPACE >> depth
    owned = set().union(*blocks)
    rows = [
        Row(part, _spread(value), _spread((1 << depth) - 1), depth)
        for (depth, value), part in owner.items()
        if _any_left(depth, value, owner, owned)
    ]
    return tuple(sorted(rows, key=lambda row: (-row.rung, row.value)))


def _any_left(
    depth: int, value: int, owner: Mapping[tuple[int, int], int], owned: set[tuple[int, int]]
) -> bool:
    """Whether more specific rows leave anything of a row's block."""
    if (depth, value) in owned:
        return True
    halves = ((depth + 1, value), (depth + 1, value | 1 << depth))
    return depth < len(BITS) and any(
        half not in owner and _any_left(*half, owner, owned) for half in halves
    )


def _spread(value: int) -> int:
    """The bits of a block's number as those of a port."""
    return sum(1 << bit for place, bit in enumerate(BITS) if value >> place & 1)
