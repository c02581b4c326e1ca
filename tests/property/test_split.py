# SPDX-License-Identifier: Apache-2.0

"""Masked rows give each client's port to the member that a plain reading of them says, in shares as
wanted."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry.apps.load_balancer.split import BITS, TOLERANCE, Row, cut, parts, split

PORTS = range(0, 1 << 16, 2)
"""Whose lowest bit is masked by no row."""
PORT = Fraction(1, 1 << len(BITS))
"""What a part may be off in any case: there is nothing smaller."""

weights = st.integers(1, 256)
pools = st.dictionaries(st.integers(0, 40), weights, min_size=1, max_size=20)


def taken(rows: tuple[Row, ...]) -> list[Row]:
    """Of each port, the row that a switch finds: of those that match, the one of the highest
    rung."""
    found: dict[int, Row] = {}
    for row in rows:
        for port in PORTS:
            if port & row.mask == row.value:
                other = found.setdefault(port, row)
                assert other is row or other.rung != row.rung, f"two rows for {port}: {other} {row}"
                found[port] = max(other, row, key=lambda one: one.rung)
    return [found[port] for port in PORTS]


@pytest.mark.parametrize("n", [*range(1, 18), 31, 48])
def test_equal_parts_are_equal_and_cheap(n: int) -> None:
    rows = parts(n)
    assert len(rows) <= 3 * n
    found = Counter(row.part for row in taken(rows))
    for part in range(n):
        assert abs(Fraction(found[part], found.total()) * n - 1) <= TOLERANCE


@given(st.lists(weights, min_size=1, max_size=12))
def test_each_part_has_its_share_and_each_row_something(wanted: list[int]) -> None:
    rows = cut(tuple(wanted))
    assert {row.part for row in rows} == {*range(len(wanted))}
    assert all(row.mask & 1 == 0 and row.value & ~row.mask == 0 for row in rows)
    owners = taken(rows)
    assert {*owners} == {*rows}
    found = Counter(row.part for row in owners)
    for part, weight in enumerate(wanted):
        share = Fraction(weight, sum(wanted))
        off = abs(Fraction(found[part], found.total()) - share)
        assert off <= max(TOLERANCE * share, PORT)


@given(pools)
def test_members_have_one_part_each_by_their_weight(pool: dict[int, int]) -> None:
    shares, slots = split(pool)
    assert sorted(slots) == sorted(pool)
    wanted = {slot: Fraction(weight, sum(pool.values())) for slot, weight in pool.items()}
    assert {
        slot: Fraction(share, sum(shares)) for slot, share in zip(slots, shares, strict=True)
    } == wanted
    equal = dict.fromkeys(pool, 7)
    assert split(equal).shares == (1,) * len(pool)


@given(st.integers(2, 40), st.data())
def test_who_goes_moves_one_other_at_most(n: int, data: st.DataObject) -> None:
    """As the lowest slot that is free is the next member's, mostly none is free."""
    pool = dict.fromkeys(range(n), 1)
    before = split(pool).slots
    gone = data.draw(st.integers(0, n - 1))
    del pool[gone]
    after = split(pool).slots
    moved = [part for part, slot in enumerate(after) if slot != before[part]]
    assert moved == ([] if gone == n - 1 else [gone])
    assert split({**pool, gone: 1}).slots == before


@pytest.mark.parametrize("wanted", [(), (1, 0), (1,) * 40000])
def test_what_cannot_be_cut_is_refused(wanted: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="parts of 32768"):
        cut(wanted)
