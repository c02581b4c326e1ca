# SPDX-License-Identifier: Apache-2.0

"""Matches, actions and whole flows to bytes, by their shape.

Flows come in few shapes: which fields are matched, which actions follow. For each shape a packer is
written out once, as namedtuple does: a function that is a single ``struct`` call in which every
header is a constant. That is several times as fast as a loop over fields and actions. What has many
actions is packed action by action. Sections refer to the OpenFlow 1.4.0 specification.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from functools import cache
from itertools import chain, groupby
from typing import Any, TypeAlias

from tenantry.controller.openflow.fields import (
    ORDER,
    PARTS,
    REGISTER,
    Oxms,
    as_told,
    nicira_header,
    oxm_header,
    with_masks,
)
from tenantry.controller.openflow.flow import (
    WHOLE_PACKET,
    Action,
    CheckLarger,
    Ct,
    CtClear,
    DecTtl,
    Flow,
    Goto,
    Group,
    Learn,
    Meter,
    Move,
    Multipath,
    Output,
    PopVlan,
    Punt,
    PushVlan,
    Resubmit,
    Sample,
    SetField,
    SetQueue,
)
from tenantry.controller.openflow.nicira import NICIRA, check_larger, ct, learn, multipath
from tenantry.controller.openflow.oxm import OXM

Kind: TypeAlias = Any
"""What shape an action has: its type, for SetField the field, a Move itself (``str | type | Move``,
but mypy takes the types of named tuples for unhashable)."""

LONGEST = 12
"""Actions that one packer packs at once; more would be many shapes, and large ones."""

_NO_BUFFER = _ANY = 0xFFFFFFFF
_ADD = 0
_USE_IN_PORT = 0xFFF8  # OFPP_IN_PORT as 16 bits: keep the packet's own
_CODES = {1: "B", 2: "H", 4: "I", 6: "HI", 8: "Q", 16: "QQ"}  # struct codes by width
_HALVES = {6: 32, 16: 64}  # struct has no integers so wide: where the first of two is cut off


class _Piece(tuple[tuple[str, int | str | None], ...]):
    """A part of a packer: struct codes, each with a constant or an expression (None: padding)."""

    @property
    def size(self) -> int:
        return struct.calcsize("!" + "".join(code for code, _ in self))

    def padded(self) -> _Piece:
        return _Piece((*self, (f"{-self.size % 8}x", None)))

    def packer(self, *parameters: str) -> Callable[..., bytes]:
        """A function of these parameters, which the expressions may use. What is constant between
        two expressions is packed here and now."""
        codes, arguments = "!", []
        for constant, run in groupby(self, key=lambda item: not isinstance(item[1], str)):
            items = list(run)
            if constant:
                values = [value for _, value in items if value is not None]
                data = struct.pack("!" + "".join(code for code, _ in items), *values)
                codes += f"{len(data)}s"
                arguments.append(repr(data))
            else:
                codes += "".join(code for code, _ in items)
                arguments += [str(value) for _, value in items]
        source = f"lambda {', '.join(parameters)}: pack({', '.join(arguments)})"
        made: Callable[..., bytes] = eval(source, {"pack": struct.Struct(codes).pack})
        return made


def _piece(codes: str, *values: int | str) -> _Piece:
    """``codes`` as of struct, one letter a value, then perhaps padding."""
    letters, padding = codes[: len(values)], codes[len(values) :]
    items = [*zip(letters, values, strict=True)]
    return _Piece((*items, (padding, None)) if padding else items)


def _joined(pieces: Iterable[_Piece]) -> _Piece:
    return _Piece(chain.from_iterable(pieces))


def _value(field: str, expression: str) -> _Piece:
    size = OXM[field].bytes
    cut = _HALVES.get(size)
    if cut is None:
        return _piece(_CODES[size], expression)
    return _piece(_CODES[size], f"{expression} >> {cut}", f"{expression} & {(1 << cut) - 1}")


def _oxm(field: str, expression: str) -> _Piece:
    return _joined([_piece("I", oxm_header(field)), _value(field, expression)])


def _masked_oxm(field: str, expression: str) -> _Piece:
    head = _piece("I", oxm_header(field, masked=True))
    return _joined([head, _value(field, f"{expression}[0]"), _value(field, f"{expression}[1]")])


def _match(fields: tuple[str, ...], masked: frozenset[str]) -> _Piece:
    """``ofp_match`` (7.2.2) of a mapping named ``match``, in which no wide register is masked."""
    values: dict[str, str] = {}
    for field in fields:
        parts = _expressions(field)
        if not values.keys().isdisjoint(parts):
            raise ValueError(f"{field} is matched twice")
        values |= parts
    oxms = _joined(
        (_masked_oxm if field in masked else _oxm)(field, values[field])
        for field in sorted(values, key=ORDER.__getitem__)
    )
    return _joined([_piece("HH", 1, 4 + oxms.size), oxms]).padded()


def _expressions(field: str) -> dict[str, str]:
    """What is to be matched for a field: the field itself, or the registers that it is made of."""
    value = f"match[{str(field)!r}]"
    if field not in PARTS:
        return {field: value}
    highest, *lower = PARTS[field].items()
    cut = {part: f"({value} >> {first} & {REGISTER})" for part, first in lower}
    return {highest[0]: f"({value} >> {highest[1]})", **cut}  # what is too large is an error


def _action(kind: Kind, action: str) -> _Piece:
    """An action (7.2.4) that the expression ``action`` stands for. TypeError for one that cannot
    stand in a list of actions, or is packed by hand."""
    if isinstance(kind, str):
        oxm = _oxm(kind, f"{action}[1]")
        size = (4 + oxm.size + 7) & ~7
        return _joined([_piece("HH", 25, size), oxm]).padded()
    if kind is Output:
        return _piece("HHIH6x", 0, 16, f"{action}[0]", WHOLE_PACKET)
    if isinstance(kind, Move):
        source, destination, *numbers = kind
        headers = nicira_header(source), nicira_header(destination)
        return _piece("HHIHHHHII", 0xFFFF, 24, NICIRA, 6, *numbers, *headers)
    if kind is Resubmit:
        nicira = (0xFFFF, 16, NICIRA, 14, _USE_IN_PORT)
        return _piece("HHIHHB3x", *nicira, f"{action}[0].id")
    if kind is PushVlan:
        return _piece("HHH2x", 17, 8, 0x8100)
    if kind is PopVlan:
        return _piece("HH4x", 18, 8)
    if kind is Punt:  # NXAST_CONTROLLER2, of the whole packet: OVS lib/ofp-actions.c
        head = _piece("HHIH6x", 0xFFFF, 24, NICIRA, 37)
        return _joined([head, _piece("HHI", 5, 8, f"{action}[0]")])
    if kind is Sample:  # NXAST_SAMPLE
        return _piece("HHIHHIII", 0xFFFF, 24, NICIRA, 29, *(f"{action}[{n}]" for n in range(4)))
    if kind is SetQueue:
        return _piece("HHI", 21, 8, f"{action}[0]")
    if kind is Group:
        return _piece("HHI", 22, 8, f"{action}[0]")
    if kind is CtClear:
        return _piece("HHIH6x", 0xFFFF, 16, NICIRA, 43)
    if kind is DecTtl:
        return _piece("HH4x", 24, 8)
    raise TypeError(f"{kind} cannot stand here")


def _instructions(kinds: tuple[Kind, ...]) -> _Piece:
    """Meter, apply-actions, then goto-table (7.2.3), of a tuple named ``actions``."""
    meter = bool(kinds) and kinds[0] is Meter
    goto = bool(kinds) and kinds[-1] is Goto
    last = len(kinds) - 1
    applied = _joined(
        _action(kind, f"actions[{number}]")
        for number, kind in enumerate(kinds)
        if not ((meter and number == 0) or (goto and number == last))
    )
    first = [_piece("HHI", 6, 8, "actions[0][0]")] if meter else []
    head = [_piece("HH4x", 4, 8 + applied.size)] if applied else []
    tail = [_piece("HHB3x", 1, 8, f"actions[{last}][0].id")] if goto else []
    return _joined([*first, *head, applied, *tail])


_FLOW_MOD = _piece("QBBHHHIIIHH", 0, "table", _ADD, 0, 0, "priority", _NO_BUFFER, _ANY, _ANY, 0, 0)
"""The flow-mod that adds a flow (7.3.4.1), between its cookie and its match."""


@cache
def _flow_packer(
    fields: tuple[str, ...], masked: frozenset[str], kinds: tuple[Kind, ...]
) -> Callable[..., bytes]:
    pieces = [_FLOW_MOD, _match(fields, masked), _instructions(kinds)]
    return _joined(pieces).packer("table", "priority", "match", "actions")


@cache
def _match_packer(fields: tuple[str, ...], masked: frozenset[str]) -> Callable[..., bytes]:
    return _match(fields, masked).packer("match")


@cache
def _action_packer(kind: Kind) -> Callable[..., bytes]:
    return _BY_HAND.get(kind) or _action(kind, "action").packer("action")


_head = _FLOW_MOD.packer("table", "priority")
_NONE: frozenset[str] = frozenset()


def encode_flow(flow: Flow) -> bytes:
    """The flow-mod that adds ``flow`` (7.3.4.1), from behind its cookie on. KeyError for a field
    that there is not, struct.error for a value too large for its field, TypeError for Goto
    anywhere but at the end, and Meter but at the start."""
    table, priority, match, actions = flow
    if len(actions) <= LONGEST:
        kinds = tuple(
            [a[0] if type(a) is SetField else a if type(a) is Move else type(a) for a in actions]
        )
        if _BY_HAND.keys().isdisjoint(kinds):
            fields = tuple(match)
            try:
                return _flow_packer(fields, _NONE, kinds)(table.id, priority, match, actions)
            except (struct.error, TypeError):  # for a mask is not an integer; to look costs more
                match = as_told(match)
                packer = _flow_packer(tuple(match), with_masks(match), kinds)
                return packer(table.id, priority, match, actions)
    return _head(table.id, priority) + encode_match(match) + encode_instructions(actions)


def encode_match(match: Oxms) -> bytes:
    """``ofp_match``, padded to 8 bytes (7.2.2)."""
    match = as_told(match)
    return _match_packer(tuple(match), with_masks(match))(match)


def encode_actions(actions: tuple[Action, ...]) -> bytes:
    """Actions as they stand in an apply-actions instruction (7.2.4)."""
    return b"".join([_action_packer(_kind(action))(action) for action in actions])


def _kind(action: Action) -> Kind:
    if isinstance(action, SetField):
        return action.field
    return action if isinstance(action, Move) else type(action)


_APPLY = struct.Struct("!HH4x")
_GOTO = struct.Struct("!HHB3x")
_METER = struct.Struct("!HHI")


def encode_instructions(actions: tuple[Action, ...]) -> bytes:
    """Meter, apply-actions, then goto-table (7.2.3); no actions at all is a drop."""
    meter = goto = b""
    if actions and isinstance(actions[0], Meter):
        meter = _METER.pack(6, 8, actions[0].id)
        actions = actions[1:]
    if actions and isinstance(actions[-1], Goto):
        goto = _GOTO.pack(1, 8, actions[-1].table.id)
        actions = actions[:-1]
    if not actions:
        return meter + goto
    applied = encode_actions(actions)
    return meter + _APPLY.pack(4, 8 + len(applied)) + applied + goto


def _ct(action: Ct) -> bytes:
    return ct(action, b"" if action.mark is None else encode_actions((action.mark,)))


_BY_HAND: dict[Kind, Callable[..., bytes]] = {
    Learn: learn,
    Ct: _ct,
    Multipath: multipath,
    CheckLarger: check_larger,
}
"""Actions of no fixed length, or too rare for packers."""
