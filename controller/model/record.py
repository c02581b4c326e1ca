# SPDX-License-Identifier: Apache-2.0

"""How a record is declared, and how it is made of a resource's body, as the store has it.

A record's fields say themselves where they come from (:func:`stored`), and :func:`parser` makes one
function of that for each class: the bodies of all ports are parsed at a start.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final, TypeAlias, TypeVar

from typing_extensions import dataclass_transform

from tenantry.controller.model.model import Record

Body: TypeAlias = Mapping[str, Any]

T = TypeVar("T")

_NONE: Final = object()


def stored(
    attribute: str = "",
    parse: Callable[[Any], Any] | None = None,
    *,
    default: Any = _NONE,
    empty: Any = _NONE,
    of_body: Callable[[Body], Any] | None = None,
) -> Any:
    """A field of a record: the value of an ``attribute`` (of the field's own name, if not said), as
    ``parse`` reads it; or what ``of_body`` makes of the whole body.

    ``empty`` stands for what is null, empty or not there. ``default`` is the same, and also the
    field's own default. A field that is declared without ``stored`` is the attribute of its name;
    its default, if it has one, stands for what is empty.
    """
    if default is not _NONE:
        empty = default
    metadata = {"attribute": attribute, "parse": parse, "empty": empty, "of_body": of_body}
    if default is _NONE:
        return dataclasses.field(metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@dataclass_transform(frozen_default=True, field_specifiers=(stored,))
def record(declared: type[T]) -> type[T]:
    """A frozen value, with little memory, whose fields may be :func:`stored`."""
    return dataclasses.dataclass(frozen=True, slots=True)(declared)


@cache
def parser(declared: type[Record]) -> Callable[[Body], Record]:
    """What makes a record of a body. It is compiled, field by field: as fast as written by hand."""
    names: dict[str, Any] = {"record": declared}
    values = []
    for n, field in enumerate(dataclasses.fields(declared)):  # type: ignore[arg-type]
        of = field.metadata
        attribute = of.get("attribute") or field.name
        empty = of.get("empty", _NONE if field.default is dataclasses.MISSING else field.default)
        names |= {f"empty{n}": empty, f"parse{n}": of.get("of_body") or of.get("parse")}
        if of.get("of_body"):
            values.append(f"parse{n}(body)")
            continue
        value = f"body[{attribute!r}]" if empty is _NONE else "value"
        value = f"parse{n}({value})" if of.get("parse") else value
        if empty is not _NONE:
            value = f"{value} if (value := body.get({attribute!r})) else empty{n}"
        values.append(value)
    source = f"def parse(body):\n    return record({', '.join(values)})\n"
    exec(source, names)
    made: Callable[[Body], Record] = names["parse"]
    return made
