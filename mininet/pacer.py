# SPDX-License-Identifier: Apache-2.0

"""Questions by a timetable, from one network namespace to another: who is not answered, and when.

``pacer.py answer`` sends UDP back to whoever it came from, both families. ``pacer.py ask ADDRESS
PER_SECOND`` asks there; then it prints as JSON the milliseconds from each question to its answer,
null for none, and when the first was asked on the clock ``time.monotonic``. Both print a line when
they have begun, and end when their input has: who asks, once it is answered again. From Python::

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
"""Without any answer, until what is missing counts as lost."""
PATIENCE = 30.0
"""Seconds until somebody answers again."""
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
    """Asks in the background, until the result is wanted.

    The more questions a second, the finer the gap; the fewer, the longer can a switch that gets no
    processor keep them in its buffer (some 250 of them) before any is lost.
    """

    def __init__(self, node, address, per_second=PER_SECOND):
        self.per_second = per_second
        self._process = start(node, __file__, "ask", address, per_second)

    def result(self):
        """The :class:`Answers`, once a question from now on was answered; RuntimeError if none is
        within :data:`PATIENCE`."""
        self._process.stdin.close()
        with self._process:
            answers = Answers(*json.load(self._process.stdout), self.per_second)
        if answers.asked - 1 in answers.lost:
            raise RuntimeError(f"nobody answers any more: {answers}")
        return answers


@contextlib.contextmanager
def reflecting(node):
    """Somebody who answers, for as long as the block lasts."""
    process = start(node, __file__, "answer")
    try:
        yield
    finally:
        process.communicate()


def start(node, file, *words):
    """Run a program like this one in the namespace of a node; its process, once it has begun."""
    process = subprocess.Popen(
        ["nsenter", f"--net=/proc/{node.pid}/ns/net", sys.executable, "-B", file]
        + [str(word) for word in words],
        stdin=subprocess.PIPE,  # it ends with us, however we end
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is for us
    )
    if process.stdout.readline() != READY:
        raise RuntimeError(f"{file} does not run in the namespace of {node}")
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


def ask(address, per_second):
    udp = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    udp.setblocking(False)
    udp.connect((address, PORT))
    times, latest = [], -1
    print(READY, end="", flush=True)
    began = time.monotonic()
    enough = give_up = float("inf")  # a question whose answer is the end, and a time that is

    def take(wait):
        """Take the answers that are there or come in time; whether there were any."""
        nonlocal latest
        if not select.select([udp], [], [], max(0.0, wait))[0]:
            return False
        with contextlib.suppress(OSError):  # all taken, or an error of a question before
            while True:
                number = int.from_bytes(udp.recv(10), "big")
                times[number] = 1000 * (time.monotonic() - began - number / per_second)
                latest = max(latest, number)
        return True

    while latest < enough and time.monotonic() < give_up:
        while len(times) / per_second <= time.monotonic() - began:
            times.append(None)
            with contextlib.suppress(OSError):
                udp.send((len(times) - 1).to_bytes(4, "big"))
        take(len(times) / per_second - (time.monotonic() - began))
        if enough == float("inf") and _input_ended():
            enough, give_up = len(times), time.monotonic() + PATIENCE
    while None in times and take(STRAGGLER_SECONDS):
        pass
    json.dump((began, times), sys.stdout)


if __name__ == "__main__":
    if sys.argv[1] == "answer":
        answer()
    else:
        ask(sys.argv[2], int(sys.argv[3]))
