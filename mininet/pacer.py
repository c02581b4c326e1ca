# SPDX-License-Identifier: Apache-2.0

"""Questions by a timetable, from one network namespace to another: who is not answered, and when.

``pacer.py answer`` sends UDP back to whoever it came from, both families. ``pacer.py ask ADDRESS
PER_SECOND [SECONDS]`` asks there; then it prints as JSON the milliseconds from each question to its
answer, null for none, and when the first was asked on the clock ``time.monotonic``. Both print a
line when they have begun, and end when their input does. From Python::

    with pacer.reflecting(server):
        asking = pacer.Pacer(host, "198.51.100.7")
        ...
        print(asking.result().gap)

``server`` and ``host`` are whatever has a ``pid``, the namespace of which it is about: a node of
Mininet's, a guest of the tests'. (``tests/pacer.py`` is a link to this file, which needs nothing
but Python's standard library: it runs under the system's Python, too.)
"""

import contextlib
import json
import select
import socket
import subprocess
import sys
import time

PORT = 7788
PER_SECOND = 1000
STRAGGLER_SECONDS = 1.0
READY = "ready\n"
IPV6_RECVPKTINFO, IP_PKTINFO = 49, 8  # linux/in6.h, linux/in.h: Python has no names for them


class Answers:
    """What became of questions: ``times`` has the milliseconds to each answer, or None."""

    def __init__(self, began, times, per_second=PER_SECOND):
        self.began, self.times, self.per_second = began, times, per_second

    @property
    def asked(self):
        return len(self.times)

    @property
    def lost(self):
        """The numbers of the questions that nobody answered."""
        return [number for number, waited in enumerate(self.times) if waited is None]

    def longest(self):
        """The longest time without an answer: the first question of it, and how many there were."""
        start = first = longest = 0
        for number, waited in enumerate([*self.times, 0.0]):
            if waited is not None:
                if number - start > longest:
                    first, longest = start, number - start
                start = number + 1
        return first, longest

    @property
    def gap(self):
        """For how long nobody answered, at the longest: seconds."""
        return self.longest()[1] / self.per_second

    def around(self, moment):
        """As :mod:`plot_answers` has it, in milliseconds: when questions were asked, from
        ``moment`` on, and how long each waited; when the gap was, and how long."""
        start, step = 1000 * (self.began - moment), 1000 / self.per_second
        first, gap = self.longest()
        return {
            "asked": [round(start + step * number, 3) for number in range(self.asked)],
            "waited": self.times,
            "from": start + step * first,
            "gap": step * gap,
            "lost": len(self.lost),
        }

    def __str__(self):
        lost, gap = len(self.lost), 1000 * self.gap
        return f"{lost} of {self.asked} questions lost; nobody answered for {gap:.0f} ms"


class Pacer:
    """Asks in the background, for so many seconds or until the result is wanted."""

    def __init__(self, node, address, seconds=None, per_second=PER_SECOND):
        self.per_second, self._endless = per_second, not seconds
        self._process = _start(node, "ask", address, per_second, *([seconds] if seconds else []))

    def result(self):
        """The :class:`Answers`, when it has ended."""
        if self._endless:
            self._process.stdin.close()
        with self._process:
            return Answers(*json.load(self._process.stdout), self.per_second)


@contextlib.contextmanager
def reflecting(node):
    """Somebody who answers, for as long as the block lasts."""
    process = _start(node, "answer")
    try:
        yield
    finally:
        process.communicate()


def _start(node, *words):
    process = subprocess.Popen(
        ["nsenter", f"--net=/proc/{node.pid}/ns/net", sys.executable, "-B", __file__]
        + [str(word) for word in words],
        stdin=subprocess.PIPE,  # it ends with us, however we end
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is for us
    )
    if process.stdout.readline() != READY:
        raise RuntimeError(f"{__file__} does not run in the namespace of {node}")
    return process


def _input_ended(wait=0.0, *others):
    """Wait for the end of the input, or for something to read elsewhere."""
    return sys.stdin in select.select([sys.stdin, *others], [], [], wait)[0]


def answer():
    udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    udp.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)  # to answer as who was asked
    udp.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
    udp.bind(("::", PORT))
    print(READY, end="", flush=True)
    while not _input_ended(None, udp):
        data, ancillary, _, peer = udp.recvmsg(100, 200)
        with contextlib.suppress(OSError):  # no way back, for the moment
            udp.sendmsg([data], ancillary, 0, peer)


def ask(address, per_second, seconds=float("inf")):
    udp = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    udp.setblocking(False)
    udp.connect((address, PORT))
    times = []
    print(READY, end="", flush=True)
    began = time.monotonic()

    def take(wait):
        if select.select([udp], [], [], max(0.0, wait))[0]:
            with contextlib.suppress(OSError):  # all taken, or an error of a question before
                while True:
                    number = int.from_bytes(udp.recv(10), "big")
                    times[number] = 1000 * (time.monotonic() - began - number / per_second)

    count = seconds * per_second
    while len(times) < count and not _input_ended():
        while len(times) < count and len(times) / per_second <= time.monotonic() - began:
            times.append(None)
            with contextlib.suppress(OSError):
                udp.send((len(times) - 1).to_bytes(4, "big"))
        take(len(times) / per_second - (time.monotonic() - began))
    end = time.monotonic() + STRAGGLER_SECONDS
    while None in times[-per_second:] and time.monotonic() < end:
        take(end - time.monotonic())
    json.dump((began, times), sys.stdout)


if __name__ == "__main__":
    if sys.argv[1] == "answer":
        answer()
    else:
        ask(sys.argv[2], int(sys.argv[3]), *map(float, sys.argv[4:]))
