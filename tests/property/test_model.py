# SPDX-License-Identifier: Apache-2.0

"""The model against brute force: what indexes answer, and which reads a change touches."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain, product
from typing import Any

from hypothesis import given

from tenantry.controller.model import Binding, Change, Model, Read, Record, View
from tenantry.controller.model.previous import Before
from tests.property import histories

KINDS: tuple[type[Record], ...] = (*histories.KINDS, Binding)


def keys(record: Record, fields: Iterable[str]) -> set[tuple[Any, ...]]:
    """By which values a record is found: by each member of a set."""
    values = (getattr(record, field) for field in fields)
    return set(product(*(v if isinstance(v, frozenset) else (v,) for v in values)))


def possible_reads(records: Iterable[Record]) -> set[Read]:
    """Every read that can answer with something, where these records are."""
    reads: set[Read] = set()
    for record in records:
        kind = type(record)
        reads.add((kind, record.id))
        for fields in ((), *kind.INDEXES):
            for values in keys(record, fields):
                reads |= {(kind, fields, values), (kind, fields, values, "ids")}
                if fields:
                    reads.add((kind, fields, values[:-1], "distinct"))
    return reads


def _id(record: Record) -> Any:
    return record.id


def answer(records: list[Record], read: Any) -> Any:
    """What a read must answer, from a plain list of records."""
    kind, what, *rest = read
    alike = [record for record in records if type(record) is kind]
    if not rest:
        return next((record for record in alike if record.id == what), None)
    values, *how = rest
    if how == ["distinct"]:
        return {key[-1] for r in alike for key in keys(r, what) if key[:-1] == values}
    found = [record for record in alike if values in keys(record, what)]
    if how == ["ids"]:
        return {record.id for record in found}
    return sorted(found, key=_id)


def ask(view: View, read: Any) -> Any:
    """The same, of the model by way of a view."""
    kind, what, *rest = read
    if not rest:
        return view.get(kind, what)
    values, *how = rest
    equal = dict(zip(what, values, strict=False))
    if how == ["distinct"]:
        return view.distinct(kind, what[-1], **equal)
    return view.ids(kind, **equal) if how == ["ids"] else view.find(kind, **equal)


def contents(model: Model) -> list[Record]:
    return [record for kind in KINDS for record in model.all(kind).values()]


@given(history=histories.batches)
def test_indexes_answer_as_brute_force_does(history: list[list[Change]]) -> None:
    model = Model()
    ever: set[Read] = set()
    for batch in history:
        histories.apply(model, batch)
        ever |= possible_reads(contents(model))
    records = contents(model)
    for read in ever:
        view = View(model)
        assert ask(view, read) == answer(records, read)
        assert view.reads == {read}, "what is recorded is what was read"


@given(history=histories.batches)
def test_a_change_touches_exactly_the_reads_that_answer_otherwise(
    history: list[list[Change]],
) -> None:
    model = Model()
    for change in chain.from_iterable(history):
        before = contents(model)
        touched = model.apply([change])
        after = contents(model)
        possible = possible_reads([*before, *after])
        differing = {read for read in possible if answer(before, read) != answer(after, read)}
        # Nobody can ask for the distinct values of no field.
        assert touched - {(change.type, (), (), "distinct")} == differing


@given(history=histories.batches)
def test_a_batch_touches_no_less_than_its_changes_one_by_one(history: list[list[Change]]) -> None:
    at_once, one_by_one = Model(), Model()
    for batch in history:
        touched = at_once.apply(batch)
        assert touched == set[Read]().union(*(one_by_one.apply([change]) for change in batch))
    assert contents(at_once) == contents(one_by_one)


@given(history=histories.batches)
def test_what_is_gone_leaves_nothing_behind(history: list[list[Change]]) -> None:
    model = Model()
    for batch in history:
        histories.apply(model, batch)
    histories.apply(model, [c._replace(record=None) for c in histories.everything(model)])
    assert contents(model) == []
    for kind, indexes in model._indexes.items():
        for index in indexes.values():
            assert not index.buckets, kind
            assert not index.distinct, kind


@given(history=histories.batches)
def test_what_was_answers_as_it_did(history: list[list[Change]]) -> None:
    """At each moment, whatever has happened since; and what was left away is not there."""
    model = Model()
    moments: list[tuple[list[Record], Before]] = []
    ever: set[Read] = set()
    for batch in history:
        moments.append((contents(model), Before(model)))
        changed: dict[tuple[type[Record], Any], Record | None] = {}
        for change in batch:
            changed.setdefault((change.type, change.id), model.get(change.type, change.id))
            model.apply([change])
        for _, before in moments:
            before.undo(changed)
        ever |= possible_reads(contents(model))
    for records, before in moments:
        assert sorted(map(repr, contents(before))) == sorted(map(repr, records))
        for read in ever:
            assert ask(View(before), read) == answer(records, read)
