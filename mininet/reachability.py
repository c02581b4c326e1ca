# SPDX-License-Identifier: Apache-2.0

"""Who reaches whom: asks every address from inside every host, and notes who answers.

Equal addresses are no obstacle to that: a TCP server in each host answers with the host's name. An
echo reply is known by the MAC address it came from; if that is a router's, whoever answered TCP at
the address has sent it. It must not know why a host should reach another; the caller says what is
expected.
"""

import socket
import subprocess
import threading
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass

from namespaces import inside

PORT = 7
#: Sent after the name, so that an answer is many full-sized segments: a wrong MTU shows.
FILLER = bytes(100_000)
WAIT = 4.0  # seconds until silence counts as an answer
PATIENCE = 60.0  # seconds for those who should answer: all ask at once, on whatever machine
VERSIONS = ("IPv4", "IPv6")
KINDS = ("ping", "TCP")


@dataclass(frozen=True)
class Station:
    """A host as the checks see it. ``pid`` is a process in its network namespace."""

    name: str
    network: str
    pid: int
    mac: str
    addresses: tuple


def probe(stations, expected, more=(), routers=()):
    """Ask all addresses, and ``more``, from all stations at once: {station: {probe: {stations that
    answered}}}, where a probe is a kind with an IP version. As long as somebody is missing who is
    ``expected`` (as :func:`table` has it), those that were silent are asked again. ``routers`` are
    MAC addresses."""
    servers = [inside(station.pid, listen).result() for station in stations]
    for station, server in zip(stations, servers, strict=True):
        threading.Thread(target=serve, args=(server, station.name), daemon=True).start()
    try:
        owners = {station.mac: station for station in stations}
        own = {address for station in stations for address in station.addresses}
        addresses = sorted(own.union(more))
        asked = []
        for station in stations:
            for address in addresses:
                if address in station.addresses:
                    continue  # its own kernel would answer
                version = "IPv6" if ":" in address else "IPv4"
                for kind in KINDS:
                    asked.append((station, kind, version, address))
        answered = {}
        deadline = time.monotonic() + PATIENCE
        while True:
            futures = {
                one: inside(one[0].pid, ASK[one[1]], one[3])
                for one in asked
                if answered.get(one) is None
            }
            answered |= {one: future.result() for one, future in futures.items()}
            seen = {station.name: defaultdict(set) for station in stations}
            for (station, kind, version, address), answer in answered.items():
                if answer is not None:
                    if kind == "ping":
                        owner = owners.get(answer)
                        if owner is not None and address in owner.addresses:
                            answer = owner.name
                        elif answer in routers:
                            answer = answered[station, "TCP", version, address] or "a router"
                    seen[station.name][f"{kind} {version}"].add(answer)
            missing = any(
                expected[name][version] - seen[name][f"{kind} {version}"]
                for name in seen
                for kind in KINDS
                for version in VERSIONS
            )
            if not missing or time.monotonic() > deadline:
                return seen
    finally:
        for server in servers:
            server.close()


def listen():
    return socket.create_server(("::", PORT), family=socket.AF_INET6, dualstack_ipv6=True)


def serve(server, name):
    """Answer every connection with ``name``, a line feed and the filler, until closed."""

    def answer(connection):
        with connection:
            connection.settimeout(2 * WAIT)
            with suppress(OSError):  # whoever asked has noted it
                connection.sendall(name.encode() + b"\n" + FILLER)

    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        threading.Thread(target=answer, args=(connection,), daemon=True).start()


def connect(address):
    """The name that a whole answer over TCP bore, or None."""
    answer = bytearray()
    try:
        with socket.create_connection((address, PORT), timeout=WAIT) as connection:
            while chunk := connection.recv(65536):
                answer += chunk
    except OSError:
        return None
    name, _, filler = bytes(answer).partition(b"\n")
    return name.decode() if filler == FILLER else None


def ping(address):
    """The MAC address that an answer to an echo request came from, or None."""
    # With -w, ping repeats once a second until one reply, so that a first packet may get lost.
    words = ["ping", "-n", "-q", "-c1", f"-w{WAIT:.0f}", address]
    if subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode:
        return None
    route = subprocess.run(["ip", "route", "get", address], capture_output=True, text=True).stdout
    way = route.split()
    hop = way[way.index("via") + 1] if "via" in way else address
    neighbour = subprocess.run(
        ["ip", "neighbour", "show", "to", hop], capture_output=True, text=True
    ).stdout.split()
    return neighbour[neighbour.index("lladdr") + 1] if "lladdr" in neighbour else None


ASK = dict(zip(KINDS, (ping, connect), strict=True))


def table(stations, expected, seen):
    """The lines of the table, and whether all that was seen is what was expected.

    ``expected`` has for each station and IP version the stations that should answer. A probe that
    found just those is "ok", of any other the table has who answered.
    """
    header = ["from", "network"]
    for version in VERSIONS:
        header += [f"reaches by {version}", *KINDS]
    rows = [[*header, ""]]
    for station in stations:
        row, good = [station.name, station.network], True
        for version in VERSIONS:
            wanted = expected[station.name][version]
            row.append(_names(wanted))
            for kind in KINDS:
                answered = seen[station.name][f"{kind} {version}"]
                row.append("ok" if answered == wanted else _names(answered))
                good &= answered == wanted
        rows.append([*row, "ok" if good else "WRONG"])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "-" * max(map(len, lines)))
    return lines, all(row[-1] == "ok" for row in rows[1:])


def _names(names):
    return " ".join(sorted(names)) or "-"
