# SPDX-License-Identifier: Apache-2.0

"""What switches have counted of what was dropped: the flows that they have learned in DROPPED, as
messages. Sections refer to the OpenFlow 1.4.0 specification."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from tenantry.controller.openflow import codec
from tenantry.controller.openflow.drops import WHOSE_BITS, Account, Whose, account
from tenantry.controller.openflow.fields import oxm_header
from tenantry.controller.openflow.flow import Match
from tenantry.controller.openflow.keys import Cookie
from tenantry.controller.openflow.oxm import Value
from tenantry.controller.openflow.pipeline import DROP_CAUSE, Table

_FIELDS = {DROP_CAUSE, *(field for whose in Whose for field in whose.fields)}
_BY_HEADER = {oxm_header(field): str(field) for field in _FIELDS}
_OXM = struct.Struct("!II")
_MATCH_HEAD = struct.Struct("!HH")


class Accounted(NamedTuple):
    """What one account has counted, in how many seconds at least. It knows nothing of the octets of
    its first packet."""

    account: Account
    packets: int
    octets: int
    seconds: float


def accounts_request(xid: int, fields: Mapping[str, Value]) -> bytes:
    """Ask for the accounts with these values of fields (7.3.5.2)."""
    table = Table.DROPPED.id
    return codec.flow_stats_request(xid, table, Cookie.DROPS, codec.ONE_FLOW, fields)


def parts(count: int, at_once: int) -> Iterator[Match]:
    """What to ask for, one after the other, to get all of so many accounts: some at once each. They
    have one cookie; so they are told apart by whose they are and by the last bits of the port."""
    mask = (1 << ((count - 1) // at_once).bit_length()) - 1 if count else 0
    if not mask:
        yield {}
        return
    for whose in Whose:
        for part in range(mask + 1) if whose.fields else ():
            port = whose.fields[0]
            if port == "in_port":  # which has no mask: by cause
                yield {DROP_CAUSE: (whose.number << 16 | part, WHOSE_BITS | mask)}
            else:
                yield {DROP_CAUSE: (whose.number << 16, WHOSE_BITS), port: (part, mask)}


def read_accounts(data: bytes) -> Iterator[Accounted]:
    """Those in one reply. The packet that a flow was learned of is counted, too."""
    for stats in codec.read_flow_stats(data)[0]:
        found = account(dict(_match(stats.body))) if stats.body else None
        if found is not None:
            yield Accounted(found, stats.packets + 1, stats.bytes, stats.seconds)


def _match(body: bytes) -> Iterator[tuple[str, int]]:
    """The fields in the match of a flow-mod's body (7.2.2), all of 32 bits; what is none of ours
    goes by its number."""
    _, length = _MATCH_HEAD.unpack_from(body, codec.MATCH_AT)
    offset, end = codec.MATCH_AT + _MATCH_HEAD.size, codec.MATCH_AT + length
    while offset + _OXM.size <= end:
        header, value = _OXM.unpack_from(body, offset)
        yield _BY_HEADER.get(header, str(header)), value
        offset += 4 + (header & 0xFF)
