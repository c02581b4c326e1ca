# SPDX-License-Identifier: Apache-2.0

"""A VLAN of a guest's interface, as ``ip link add ... type vlan`` makes it, also where the kernel
has no 802.1Q: a TAP device and a process in the guest that puts the tags on and takes them off.

``python -m tests.vlan INTERFACE ID`` makes ``INTERFACE.ID`` and serves it until its input ends.
"""

from __future__ import annotations

import fcntl
import os
import select
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.broadcasts import LARGEST, PACKET_IGNORE_OUTGOING
from tests.capture import wire
from tests.namespace import Guest

TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000  # linux/if_tun.h
READY = "ready\n"


@contextmanager
def vlan(guest: Guest, id: int, interface: str = "eth0") -> Iterator[str]:
    """The VLAN's interface, down and bare, for as long as the block lasts."""
    words = guest.command(sys.executable, "-m", "tests.vlan", interface, id)
    pipe = subprocess.PIPE
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == READY
        yield f"{interface}.{id}"
        process.stdin.close()


def _serve(interface: str, id: int) -> None:
    tap = os.open("/dev/net/tun", os.O_RDWR)
    name = f"{interface}.{id}".encode()
    fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH22x", name, IFF_TAP | IFF_NO_PI))
    trunk = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(wire.ETH_P_ALL))
    trunk.setsockopt(wire.SOL_PACKET, wire.PACKET_AUXDATA, 1)
    trunk.setsockopt(wire.SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    trunk.bind((interface, 0))
    tag = struct.pack("!HH", 0x8100, id)
    space = socket.CMSG_SPACE(wire.AUXDATA.size)
    print(READY, end="", flush=True)
    while True:
        ready = select.select([sys.stdin, tap, trunk], (), ())[0]
        if sys.stdin in ready:
            return
        try:
            if tap in ready:
                frame = os.read(tap, LARGEST)
                trunk.send(frame[:12] + tag + frame[12:])
            if trunk in ready:
                frame, ancillary, _, _ = trunk.recvmsg(LARGEST, space)
                if wire.vlan(frame, ancillary) == id:  # the kernel took the tag itself off
                    os.write(tap, frame)
        except OSError:
            continue  # one end is down: what was sent is lost, as on a wire


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]))
