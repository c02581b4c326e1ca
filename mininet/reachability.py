"""Who reaches whom: asks every address from inside every host, and notes who answers.

Equal addresses are no obstacle to that: a TCP server in each host answers with the host's name,
and an echo reply is known by the MAC address it came from. It must not know why a host should
reach another; the caller says what is expected.
"""

import socket
import subprocess
import threading
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass

from namespaces import inside

PORT = 7
#: Sent after the name, so that an answer is many full-sized segments: a wrong MTU shows.
FILLER = bytes(100_000)
WAIT = 2.0  # seconds until silence counts as an answer
PROBES = ("ping IPv4", "ping IPv6", "TCP IPv4", "TCP IPv6")


@dataclass(frozen=True)
class Station:
    """A host as the checks see it. ``pid`` is a process in its network namespace."""

    name: str
    network: str
    pid: int
    mac: str
    addresses: tuple


def probe(stations):
    """Ask all addresses from all stations at once: {station: {probe: {stations that answered}}}."""
    servers = [inside(station.pid, listen).result() for station in stations]
    for station, server in zip(stations, servers, strict=True):
        threading.Thread(target=serve, args=(server, station.name), daemon=True).start()
    try:
        names = {station.mac: station.name for station in stations}
        addresses = sorted({address for station in stations for address in station.addresses})
        asked = []
        for station in stations:
            for address in addresses:
                if address in station.addresses:
                    continue  # its own kernel would answer
                version = "IPv6" if ":" in address else "IPv4"
                for kind, ask in (("ping", ping), ("TCP", connect)):
                    future = inside(station.pid, ask, address)
                    asked.append((station.name, f"{kind} {version}", future))
        seen = {station.name: defaultdict(set) for station in stations}
        for name, kind, future in asked:
            answer = future.result()
            if answer is not None:
                seen[name][kind].add(names.get(answer, answer))
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
    """The MAC address that answered an echo request, or None."""
    # With -w, ping repeats once a second until one reply, so that a first packet may get lost.
    words = ["ping", "-n", "-q", "-c1", f"-w{WAIT:.0f}", address]
    if subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode:
        return None
    neighbour = subprocess.run(
        ["ip", "neighbour", "show", "to", address], capture_output=True, text=True
    ).stdout.split()
    return neighbour[neighbour.index("lladdr") + 1] if "lladdr" in neighbour else None


def table(stations, expected, seen):
    """The lines of the table, and whether all that was seen is what was expected."""
    header = ("from", "network", "expected", *PROBES, "")
    rows = [header]
    for station in stations:
        wanted = expected[station.name]
        answers = [seen[station.name][kind] for kind in PROBES]
        verdict = "ok" if all(answer == wanted for answer in answers) else "WRONG"
        cells = (" ".join(sorted(names)) or "-" for names in (wanted, *answers))
        rows.append((station.name, station.network, *cells, verdict))
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    lines = []
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "-" * max(map(len, lines)))
    return lines, all(row[-1] == "ok" for row in rows[1:])
