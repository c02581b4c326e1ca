# SPDX-License-Identifier: Apache-2.0

"""Which VLANs passed a wire. The kernel keeps the frames: nothing is missed, nothing races."""

from __future__ import annotations

import importlib.util
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_spec = importlib.util.spec_from_file_location(
    "wire", Path(__file__).parent.parent / "mininet" / "wire.py"
)
assert _spec and _spec.loader
wire = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(wire)


@contextmanager
def vlans(interface: str, *senders: str) -> Iterator[set[int | None]]:
    """Filled at the end of the block with the VLAN id of every frame (None: untagged), or of those
    from these MAC addresses."""
    macs = {bytes.fromhex(mac.replace(":", "")) for mac in senders}
    everything = socket.htons(wire.ETH_P_ALL)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, everything) as tap:
        tap.setsockopt(wire.SOL_PACKET, wire.PACKET_AUXDATA, 1)
        tap.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
        tap.bind((interface, 0))
        seen: set[int | None] = set()
        yield seen
        space = socket.CMSG_SPACE(wire.AUXDATA.size)
        while True:
            try:
                frame, ancillary, _, _ = tap.recvmsg(18, space, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            if not macs or frame[6:12] in macs:
                seen.add(wire.vlan(frame, ancillary))
