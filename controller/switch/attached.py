# SPDX-License-Identifier: Apache-2.0

"""Rows of OVSDB that hang on bridges and ports, and those that stand alone: read as values, and
written. Ours are marked in ``external_ids``, with their name and with what leads to them.

They are told apart from others' by that mark alone, and a place that somebody else's row has is
theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from uuid import UUID

from tenantry.controller.feature.ovsdb_rows import AttachedRow, Named, Part, Row, Values
from tenantry.controller.switch.ovsdb_replica import BadValue, Change, Replica, default, takes

OWNER = {"tenantry": "true"}  # external_ids of rows that we made
WANTED = "tenantry-row"
"""The key in ``external_ids`` of rows that are compared with what is wanted: of interfaces, on
which bridge they are; of attached rows, their name."""

AT = "tenantry-at"
"""The key in ``external_ids`` of attached rows: what leads to them."""

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "Flow_Sample_Collector_Set": ("id", "bridge", "ipfix"),
    "IPFIX": (
        *("targets", "sampling", "obs_domain_id", "obs_point_id"),
        *("cache_active_timeout", "cache_max_flows", "other_config"),
    ),
    "Mirror": (
        *("name", "select_all", "select_src_port", "select_dst_port", "select_vlan"),
        *("output_port", "output_vlan", "snaplen"),
    ),
    "NetFlow": ("targets", "engine_type", "engine_id", "add_id_to_interface", "active_timeout"),
    "QoS": ("type", "queues", "other_config"),
    "Queue": ("dscp", "other_config"),
    "sFlow": ("targets", "sampling", "polling", "header", "agent"),
}
"""The columns that can be wanted, by table."""

LEADING: Mapping[str, tuple[str, ...]] = {
    "Bridge": ("mirrors", "netflow", "sflow", "ipfix"),
    "Port": ("qos",),
}
"""The columns that lead to such rows."""

_NOBODY = UUID(int=0)  # in the place of a row, where only its type is looked at


class Attached:
    """Those of one database. ``find``: the row of a bridge or a port, or None."""

    def __init__(self, replica: Replica, find: Callable[[Named], Any]) -> None:
        self._replica = replica
        self._find = find

    def there(self, wanted: Mapping[str, Row]) -> dict[str, AttachedRow]:
        """Ours, by name; for those that are wanted where another's row is, one that is nowhere."""
        found = {
            name: AttachedRow(name, table, self._read(row), *self._place(row))
            for name, (table, row) in self._ours().items()
        }
        for name, row in wanted.items():
            if isinstance(row, AttachedRow) and self._is_taken(row):
                found[name] = AttachedRow(name, row.table, ())
        return found

    def others(self, there: Mapping[str, AttachedRow]) -> set[str]:
        """The names of those of which another's row has the place."""
        return {name for name, row in there.items() if row == AttachedRow(name, row.table, ())}

    def possible(self, row: AttachedRow) -> AttachedRow | None:
        """What can be had of a row now: this version may not have a column of it, and what it is
        about may not be there. What is as by default is left out."""
        if row.table not in self._replica.tables:
            return None
        if row.at and (self._find(row.at) is None or not self._leads(row.at, row.column)):
            return None
        columns = self._possible(row.table, row.columns)
        return None if columns is None else row._replace(columns=columns)

    def objection(self, row: AttachedRow) -> str:
        """What is wrong with a row that is to be written; "" if nothing is."""
        try:
            self._check(row.table, row.columns)
        except BadValue as error:
            return f"{row.name} is not written: {error}"
        return ""

    def write(
        self, change: Change, there: Mapping[str, AttachedRow], wanted: Mapping[str, AttachedRow]
    ) -> None:
        """Make ours from what is ``there`` to what is ``wanted``, but where others' are."""
        ours, others = self._ours(), self.others(there)
        for name, row in there.items():
            right = wanted.get(name)
            if name in others:
                continue
            if right is None or (right.table, right.at, right.column) != (
                *(row.table, row.at, row.column),
            ):
                self._take(change, *ours.pop(name))
        for name, right in sorted(wanted.items()):
            if name in others:
                continue
            if name in ours and there.get(name) != right:
                self._mend(change, ours[name][1], there[name], right)
            elif name not in ours:
                mark = {**OWNER, WANTED: name}
                if right.at:
                    mark[AT] = " ".join((right.at.table, right.column, right.at.name))
                made = change.insert(right.table, external_ids=mark)
                for column, value in right.columns:
                    change.set(made, **{column: self._python(change, made, column, value)})
                if right.at:
                    self._attach(change, right.at, right.column, made)

    def take_all(self, change: Change) -> None:
        """Whatever is ours."""
        for found in self._ours().values():
            self._take(change, *found)

    # --- reading -----------------------------------------------------------------------------

    def _ours(self) -> dict[str, tuple[str, Any]]:
        """Table and row, by name."""
        return {
            row.external_ids[WANTED]: (table, row)
            for table in COLUMNS
            for row in self._replica.rows(table)
            if WANTED in row.external_ids
        }

    def _place(self, row: Any) -> tuple[Named | None, str]:
        """What leads to a row of ours, and by which column; nothing, if it no longer does."""
        table, _, rest = row.external_ids.get(AT, "").partition(" ")
        column, _, name = rest.partition(" ")
        place = Named(table, name)
        parent = self._find(place) if table in LEADING else None
        return (place, column) if parent and row in _members(parent, column) else (None, "")

    def _is_taken(self, row: AttachedRow) -> bool:
        """Whether another row is where this one is to be, and there is place for one alone."""
        parent = self._find(row.at) if row.at else None
        if parent is None or parent._table.columns[row.column].type.n_max > 1:
            return False
        return any(WANTED not in each.external_ids for each in _members(parent, row.column))

    def _read(self, row: Any) -> Values:
        table = row._table
        found = (
            (column, _value_of(table.columns[column].type, getattr(row, column), self._member))
            for column in sorted(COLUMNS[table.name])
            if column in table.columns
        )
        return tuple((column, value) for column, value in found if value)

    def _member(self, value: Any) -> Any:
        if not hasattr(value, "_table"):
            return value
        table: str = value._table.name
        return Named(table, value.name) if table in LEADING else Part(table, self._read(value))

    # --- what may be written -----------------------------------------------------------------

    def _leads(self, at: Named, column: str) -> bool:
        return column in self._replica.tables[at.table].columns

    def _possible(self, table: str, columns: Values) -> Values | None:
        there, found = self._replica.tables[table].columns, []
        for column, value in columns:
            if column not in there:
                continue
            if any(isinstance(m, Named) and self._find(m) is None for m in _leaves(value)):
                return None
            if not _is_default(there[column].type, value):
                found.append((column, value))
        return tuple(found)

    def _check(self, table: str, columns: Values) -> None:
        """Errors: BadValue."""
        schema = self._replica.tables[table]
        for column, value in columns:
            for member in _leaves(value):
                if isinstance(member, Part):
                    self._check(member.table, member.columns)
            plain = _python(schema.columns[column].type, value, _stand_in)
            takes(schema, column, plain)

    # --- writing -----------------------------------------------------------------------------

    def _mend(self, change: Change, row: Any, there: AttachedRow, right: AttachedRow) -> None:
        before, after = dict(there.columns), dict(right.columns)
        for column in sorted(before.keys() | after.keys()):
            if before.get(column) != after.get(column):
                parts = [*_parts(row, column)]
                value = default(row._table, column)
                if column in after:
                    value = self._python(change, row, column, after[column])
                change.set(row, **{column: value})
                for part in parts:
                    part.delete()

    def _python(self, change: Change, row: Any, column: str, value: Any) -> Any:
        """A value as ``ovs`` takes it, with rows made for its parts."""

        def member(one: Any) -> Any:
            if isinstance(one, Named):
                return self._find(one)
            if not isinstance(one, Part):
                return one
            made = change.insert(one.table, external_ids=OWNER)
            for inner, of in one.columns:
                change.set(made, **{inner: self._python(change, made, inner, of)})
            return made

        return _python(row._table.columns[column].type, value, member)

    def _attach(self, change: Change, at: Named, column: str, row: Any) -> None:
        parent = self._find(at)
        if parent._table.columns[column].type.n_max > 1:
            change.add(parent, column, row)
        else:
            change.set(parent, **{column: row})

    def _take(self, change: Change, table: str, row: Any) -> None:
        at, column = self._place(row)
        if at:
            parent = self._find(at)
            if parent._table.columns[column].type.n_max > 1:
                change.remove(parent, column, [row])
            else:
                change.set(parent, **{column: []})
        parts = [part for each in COLUMNS[table] for part in _parts(row, each)]
        row.delete()
        for part in parts:
            part.delete()


def _members(row: Any, column: str) -> list[Any]:
    """The rows to which a column leads."""
    value = getattr(row, column, [])
    if isinstance(value, dict):
        return [*value.values()]
    return value if isinstance(value, list) else [value]


def _parts(row: Any, column: str) -> Iterator[Any]:
    for member in _members(row, column):
        if hasattr(member, "_table") and member._table.name in COLUMNS:
            yield member


def _leaves(value: Any) -> Iterable[Any]:
    return value if isinstance(value, frozenset) else [member for _, member in value]


def _value_of(type: Any, value: Any, member: Callable[[Any], Any]) -> Any:
    """What ``ovs`` has of a column, as a value; nothing if it is as by default."""
    if isinstance(value, dict):
        return tuple(sorted((key, member(each)) for key, each in value.items()))
    several = value if isinstance(value, list) else [value]
    found = frozenset(map(member, several))
    return frozenset() if _is_default(type, found) else found


def _is_default(type: Any, value: Any) -> bool:
    return not value or (type.is_scalar() and next(iter(value)) in (0, False, ""))


def _python(type: Any, value: Any, member: Callable[[Any], Any]) -> Any:
    if type.is_map():
        return {key: member(each) for key, each in value}
    found = [member(each) for each in value]
    return found[0] if type.is_scalar() else found


def _stand_in(member: Any) -> Any:
    return _NOBODY if isinstance(member, Named | Part) else member
