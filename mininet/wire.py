# SPDX-License-Identifier: Apache-2.0

"""What passes a wire: counts the frames on one interface by VLAN and source address, or the VXLAN
packets by their ends and VNI.

It only listens. The kernel may hand over the VLAN tag apart from the frame (it strips tags on
receive) or in it (as sent); both are understood.
"""

import socket
import struct
import threading
from collections import Counter
from ipaddress import IPv4Address

ETH_P_ALL = 0x0003
SOL_PACKET, PACKET_AUXDATA = 263, 8  # linux/if_packet.h
TP_STATUS_VLAN_VALID = 1 << 4
AUXDATA = struct.Struct("=IIIHHHH")  # struct tpacket_auxdata
VLAN_TYPES = (0x8100, 0x88A8)
VLAN_ID = 0x0FFF
IPV4, UDP, VXLAN_PORT = 0x0800, 17, 4789


def by_sender(frame, ancillary):
    """(VLAN, source): the VLAN is None for an untagged frame."""
    return vlan(frame, ancillary), frame[6:12].hex(":")


def by_tunnel(frame, _ancillary):
    """(source, destination, VNI) of a VXLAN packet over IPv4; of any other, None."""
    if len(frame) < 50 or int.from_bytes(frame[12:14], "big") != IPV4 or frame[14] != 0x45:
        return None
    if frame[23] != UDP or int.from_bytes(frame[36:38], "big") != VXLAN_PORT:
        return None
    ends = str(IPv4Address(frame[26:30])), str(IPv4Address(frame[30:34]))
    return *ends, int.from_bytes(frame[46:49], "big")


class Capture:
    """Counts frames on ``interface`` from creation until :meth:`stop`.

    Create it in the namespace of the interface. ``frames[kind(frame, ancillary)]`` is how many
    passed; those of which that is None do not count.
    """

    def __init__(self, interface, kind=by_sender):
        self.interface = str(interface)
        self.frames = Counter()
        self._kind = kind
        self._socket = socket.socket(
            socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.htons(ETH_P_ALL)
        )
        self._socket.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self._socket.bind((self.interface, 0))
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._count, daemon=True)
        self._thread.start()

    def stop(self):
        """Stop listening, having counted everything that passed before this call."""
        self._stopping.set()
        self._thread.join()
        self._socket.close()

    def _count(self):
        while True:
            stopping = self._stopping.is_set()
            self._socket.settimeout(0.001 if stopping else 0.1)
            try:
                frame, ancillary, _, _ = self._socket.recvmsg(50, socket.CMSG_SPACE(AUXDATA.size))
            except TimeoutError:
                if stopping:
                    return
                continue
            except OSError:  # the interface went down: nothing passes it any more
                return
            kind = self._kind(frame, ancillary)
            if kind is not None:
                self.frames[kind] += 1


def vlan(frame, ancillary):
    """The VLAN id of a captured frame, None if it has no tag."""
    for level, kind, data in ancillary:
        if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
            status, *_, tag, _ = AUXDATA.unpack(data[: AUXDATA.size])
            if status & TP_STATUS_VLAN_VALID:
                return tag & VLAN_ID
    ethertype, tag = struct.unpack("!HH", frame[12:16])
    return tag & VLAN_ID if ethertype in VLAN_TYPES else None


def report(frames, allowed):
    """Judge ``frames`` by ``allowed``: {vlan: {MAC addresses that may send there}}.

    Returns ({vlan: frames of it}, [a line for every frame that is foreign]).
    """
    carried, foreign = Counter(), []
    for (tag, source), count in sorted(frames.items(), key=str):
        if source in allowed.get(tag, ()):
            carried[tag] += count
        else:
            where = "untagged" if tag is None else f"in VLAN {tag}"
            foreign.append(f"{count} from {source} {where}")
    return carried, foreign
