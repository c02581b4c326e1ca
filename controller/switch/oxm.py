"""Fields to bytes: matches, and the actions that set a field (OpenFlow 1.4, 7.2.2 and 7.2.4.4).

Flows come in few shapes, a shape being the fields of a match. For each a packer is made once: one
``struct`` call with every header a constant, which is several times a loop over fields.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

from controller.flow import OXM, Value, match_order

Oxms = Mapping[str, Value]

_MATCH_TYPE, _SET_FIELD_TYPE = 1, 25
_CODES = {1: "B", 2: "H", 4: "I", 6: "HI", 8: "Q", 16: "QQ"}  # struct codes by width
_HALVES = {6: 32, 16: 64}  # by how many bits the first of two codes is shifted


def header(field: str, masked: bool = False) -> int:
    """The four bytes before a value: class, number, mask flag, length (7.2.2.2)."""
    oxm = OXM[field]
    length = oxm.bytes * 2 if masked else oxm.bytes
    return oxm.cls << 16 | oxm.number << 9 | masked << 8 | length


def encode_match(match: Oxms) -> bytes:
    """``ofp_match``, padded to 8 bytes (7.2.2). KeyError for a field that there is not,
    struct.error for a value that is too large for its field."""
    if tuple in map(type, match.values()):
        masked = frozenset([field for field, value in match.items() if type(value) is tuple])
        return _match_packer(tuple(match), masked)(match)
    return _match_packer(tuple(match))(match)


@cache
def _match_packer(
    fields: tuple[str, ...], masked: frozenset[str] = frozenset()
) -> Callable[[Oxms], bytes]:
    codes, arguments, length = "", [], 4
    for field in sorted(fields, key=match_order):
        value = f"match[{str(field)!r}]"
        codes += "I"
        arguments.append(str(header(field, field in masked)))
        parts = [f"{value}[0]", f"{value}[1]"] if field in masked else [value]
        for part in parts:
            codes += _CODES[OXM[field].bytes]
            arguments += _halves(field, part)
            length += OXM[field].bytes
        length += 4
    return _packer("match", codes, [_MATCH_TYPE, length], arguments, -length % 8)


@cache
def set_field_packer(field: str) -> Callable[[int], bytes]:
    """What makes the set-field action (7.2.4.4) of a value. Errors as above."""
    length = 8 + OXM[field].bytes
    padding = -length % 8
    arguments = [str(header(field)), *_halves(field, "value")]
    head = [_SET_FIELD_TYPE, length + padding]
    return _packer("value", "I" + _CODES[OXM[field].bytes], head, arguments, padding)


def _halves(field: str, value: str) -> Iterator[str]:
    """The arguments for a value: struct has no integers of 6 or 16 bytes, so those are two."""
    bits = _HALVES.get(OXM[field].bytes)
    if bits is None:
        yield value
    else:
        yield f"{value} >> {bits}"
        yield f"{value} & {(1 << bits) - 1}"


def _packer(
    name: str, codes: str, head: list[int], arguments: list[str], padding: int
) -> Callable[[Any], bytes]:
    """A function of one argument that packs it at once: written out, as namedtuple does."""
    pack = struct.Struct(f"!HH{codes}{padding}x").pack
    expression = ", ".join([*map(str, head), *arguments])
    made: Callable[[Any], bytes] = eval(f"lambda {name}: pack({expression})", {"pack": pack})
    return made
