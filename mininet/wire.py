"""What passes a wire: counts the frames on one interface by VLAN and source address.

It only listens. The kernel may hand over the VLAN tag apart from the frame (it strips tags on
receive) or in it (as sent); both are understood.
"""

import socket
import struct
import threading
from collections import Counter

ETH_P_ALL = 0x0003
SOL_PACKET, PACKET_AUXDATA = 263, 8  # linux/if_packet.h
TP_STATUS_VLAN_VALID = 1 << 4
AUXDATA = struct.Struct("=IIIHHHH")  # struct tpacket_auxdata
VLAN_TYPES = (0x8100, 0x88A8)
VLAN_ID = 0x0FFF


class Capture:
    """Counts frames on ``interface`` from creation until :meth:`stop`.

    Create it in the namespace of the interface. ``frames[vlan, source]`` is how many passed;
    ``vlan`` is None for an untagged frame.
    """

    def __init__(self, interface):
        self.interface = str(interface)
        self.frames = Counter()
        self._socket = socket.socket(
            socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.htons(ETH_P_ALL)
        )
        self._socket.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self._socket.bind((self.interface, 0))
        self._socket.settimeout(0.1)
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
            try:
                frame, ancillary, _, _ = self._socket.recvmsg(18, socket.CMSG_SPACE(AUXDATA.size))
            except TimeoutError:
                if self._stopping.is_set():
                    return
                continue
            except OSError:  # the interface went down: nothing passes it any more
                return
            self.frames[vlan(frame, ancillary), frame[6:12].hex(":")] += 1


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
