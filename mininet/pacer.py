"""Questions by a timetable: who is not answered, and when.

``pacer.py answer`` sends UDP back to whoever it came from. ``pacer.py ask ADDRESS PER_SECOND`` asks
there until its input ends, and a second for stragglers; then it prints as JSON the milliseconds
from each question to its answer, null for none, and when the first was asked on the clock
``time.monotonic``. Both print a line when they have begun. From Python::

    with pacer.answering(server), pacer.asking(host, "198.51.100.7") as questions:
        ...
    print(questions.gap())
"""

import contextlib
import json
import select
import socket
import subprocess
import sys
import time
from pathlib import Path

PORT = 7788
STRAGGLER_SECONDS = 1.0
PER_SECOND = 1000
READY = "ready\n"


class Questions:
    """What became of them: the milliseconds to each answer, or None."""

    def __init__(self):
        self.began, self.times = 0.0, []

    @property
    def lost(self):
        return sum(waited is None for waited in self.times)

    def gap(self):
        """The longest time without an answer: the first question of it, and how many there were."""
        start = first = longest = 0
        for number, waited in enumerate([*self.times, 0.0]):
            if waited is not None:
                if number - start > longest:
                    first, longest = start, number - start
                start = number + 1
        return first, longest

    def around(self, moment):
        """As :mod:`plot_answers` has it, in milliseconds: when questions were asked, from
        ``moment`` on, and how long each waited; when the gap was, and how long."""
        start, step = 1000 * (self.began - moment), 1000 / PER_SECOND
        first, gap = self.gap()
        asked = [round(start + step * number, 3) for number in range(len(self.times))]
        return {
            "asked": asked,
            "waited": self.times,
            "from": start + step * first,
            "gap": step * gap,
            "lost": self.lost,
        }

    def __str__(self):
        gap = 1000 / PER_SECOND * self.gap()[1]
        return f"{self.lost} of {len(self.times)} questions lost; nobody answered for {gap:.0f} ms"


@contextlib.contextmanager
def answering(node):
    """A node of Mininet's answers, for as long as the block lasts."""
    process = _start(node, "answer")
    try:
        yield
    finally:
        process.kill()
        process.communicate()


@contextlib.contextmanager
def asking(node, address):
    """A node asks, for as long as the block lasts; afterwards it is known what became of that."""
    process = _start(node, "ask", address, PER_SECOND)
    questions = Questions()
    try:
        yield questions
        questions.began, questions.times = json.loads(process.communicate()[0])
    finally:
        process.kill()
        process.communicate()


def _start(node, *words):
    from openvswitch import die_with_parent  # not in the nodes, where there is no need of it

    process = subprocess.Popen(
        ["nsenter", f"--net=/proc/{node.pid}/ns/net", sys.executable, "-B", __file__]
        + [str(word) for word in words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=die_with_parent,
    )
    if process.stdout.readline() != READY:
        raise RuntimeError(f"{Path(__file__).name} does not run in {node}")
    return process


def answer():
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("", PORT))
    print(READY, end="", flush=True)
    while True:
        data, peer = udp.recvfrom(100)
        with contextlib.suppress(OSError):  # no way back, for the moment
            udp.sendto(data, peer)


def ask(address, per_second):
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.setblocking(False)
    udp.connect((address, PORT))
    times = []
    print(READY, end="", flush=True)
    began, end = time.monotonic(), None

    def take(wait):
        if select.select([udp], [], [], max(0.0, wait))[0]:
            with contextlib.suppress(OSError):  # all taken, or an error of a question before
                while True:
                    number = int.from_bytes(udp.recv(10), "big")
                    times[number] = 1000 * (time.monotonic() - began - number / per_second)

    while not select.select([sys.stdin], [], [], 0)[0]:
        while len(times) / per_second <= time.monotonic() - began:
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
        ask(sys.argv[2], int(sys.argv[3]))
