"""``tenantry drill``: how many packets an event costs, measured on this machine.

Owns a stage of its own: an Open vSwitch, a controller and four guests, in network, mount and
process namespaces that end with the drill, however it ends. It must never reach beyond them: the
machine's own switch, store and guests see nothing of it.

Two guests send to each other, 1,000 packets a second each way, IPv4 and IPv6 in turns, and the
event happens in the midst of it. Two intruders, a port of another tenant with the very addresses of
one of the guests, and an interface that belongs to no port, send to them too, and watch their wire:
nothing may come through in either direction.
"""

from __future__ import annotations

import json
import os
import select
import socket
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from controller import plug

PER_SECOND = 1000
INTRUDERS_PER_SECOND = 100
BROADCAST_EVERY = 100  # packets: floods must not reach an intruder either
AFTERMATH_SECONDS = 0.5  # of traffic, at the least, when all is whole again
STRAGGLER_SECONDS = 1.0
PATIENCE_SECONDS = 60.0
POLL_SECONDS = 0.05
PORT = 7777
AUDIT_SECONDS = 2

STAGE = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
"""Whatever the drill starts is a child of a process that the kernel ends with everything in it."""

DIRECTORY = Path("/run/tenantry-drill")  # on a tmpfs that only the stage sees
API = "http://127.0.0.1:9696"  # the network is the stage's own, so the port is free
BRIDGE = "br-int"
SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
CONFIGURATION = f"""\
[store]
url = sqlite:///{DIRECTORY}/tenantry.db
[openflow]
audit_interval = {AUDIT_SECONDS}
[ovsdb]
connections = unix:{DIRECTORY}/db.sock
integration_bridge = {BRIDGE}
"""

# From asm-generic/socket.h and linux/if_packet.h: Python has no names for them.
SO_RCVBUFFORCE, SO_TIMESTAMPNS = 33, 35
PACKET_OUTGOING = 4
ETH_P_ALL = 3
_TIMESPEC = struct.Struct("@ll")
_PAYLOAD = struct.Struct("!Biq")  # the guest's number, the packet's (-1: broadcast), when sent


class DrillError(Exception):
    """The drill could not be carried out; the text says why."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of the packets of a drill, both directions together."""

    event: str
    sent: int
    lost: int
    duplicates: int
    longest_gap_ms: float  # between two arrivals at the same guest
    longest_way_ms: float  # of one packet, from guest to guest
    calm_way_ms: float  # the same, of those that arrived before the event
    whole_seconds: float  # from the event until wanted equals installed, in a connected switch
    leaked: int  # packets delivered to or from an intruder

    @property
    def passed(self) -> bool:
        """Nothing was delivered that the rules forbid; nothing was lost, unless the switch died."""
        return not self.leaked and (not self.lost or self.event == "ovs-restart")

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def describe(self) -> str:
        """For people."""
        return (
            f"{self.event}: {EVENTS[self.event].__doc__}\n"
            f"  lost {self.lost} of {self.sent} packets, {self.duplicates} came twice\n"
            f"  longest gap between two arrivals {self.longest_gap_ms:.1f} ms; longest way of a"
            f" packet {self.longest_way_ms:.1f} ms, before the event {self.calm_way_ms:.1f} ms\n"
            f"  whole again after {self.whole_seconds:.2f} s\n"
            f"  delivered although the rules forbid it: {self.leaked}"
        )


def drill(event: str, packets: int = 10_000) -> Result:
    """Carry out one of :data:`EVENTS` under traffic, of at least ``packets`` each way.

    Takes a few seconds more than the packets do. Progress goes to stderr. Raises DrillError.
    """
    if event not in EVENTS:
        raise DrillError(f"there is no drill {event}; there are {', '.join(EVENTS)}")
    words = [*STAGE, sys.executable, "-m", "controller.drill", "play", event, str(packets)]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise DrillError(done.stdout.strip() or "cannot make namespaces: run it as root")
    return Result(**json.loads(done.stdout))


# --- the stage -------------------------------------------------------------------------------


class Guest(NamedTuple):
    """A port with its namespace, and what it does there."""

    number: int
    port: plug.Resource
    plugged: plug.Plugged
    addresses: list[str]


class Stage:
    """A controller, its switch, and the guests. Everything ends with this process."""

    def __init__(self) -> None:
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        plug.run("mount -t tmpfs tmpfs /run")
        plug.run("ip link set lo up")
        DIRECTORY.mkdir()
        for variable in ("OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR"):
            os.environ[variable] = str(DIRECTORY)
        plug.run(f"ovsdb-tool create {DIRECTORY}/conf.db {SCHEMA}")
        socket_path = DIRECTORY / "db.sock"
        self.start("ovsdb-server", f"{DIRECTORY}/conf.db", f"--remote=punix:{socket_path}")
        self.until(socket_path.exists, "ovsdb-server")
        plug.run("ovs-vsctl --timeout=10 --no-wait init")
        self.start_switch()
        (DIRECTORY / "tenantry.conf").write_text(CONFIGURATION)
        self.start_controller()
        self.until(self.whole, "controller")
        self._make_guests()

    # What runs here.

    def start(self, name: str, *words: str) -> None:
        """Start a process; ``name`` is its command, or the controller."""
        command = [*words] if name == "controller" else [name, *words, "--pidfile"]
        with open(DIRECTORY / f"{name}.log", "ab") as log:
            self.processes[name] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def kill(self, name: str) -> None:
        """``kill -9``."""
        self.processes[name].kill()
        self.processes[name].wait()

    def start_switch(self) -> None:
        self.start("ovs-vswitchd", f"unix:{DIRECTORY}/db.sock")
        # Without --no-wait it returns when the switch has taken the database in.
        plug.run("ovs-vsctl --timeout=30 set Open_vSwitch . external_ids:hostname=drill")

    def start_controller(self) -> None:
        command = ("-m", "controller", "--config-file", f"{DIRECTORY}/tenantry.conf", "serve")
        self.start("controller", sys.executable, *command)

    def until(self, condition: Callable[[], bool], who: str) -> None:
        """Look again and again. Raises DrillError, with the log of ``who`` is to bring it about."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            if self.processes[who].poll() is not None or time.monotonic() > deadline:
                log = (DIRECTORY / f"{who}.log").read_text(errors="replace")[-2000:]
                raise DrillError(f"the drill waits in vain for its {who}, whose log ends:\n{log}")
            time.sleep(POLL_SECONDS)

    # What the controller says.

    def api(self, method: str, path: str, body: Any = None, project: str = "drill") -> Any:
        """Call the API. Raises OSError, also when it answers with an error."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"X-Project-Id": project}
        request = urllib.request.Request(f"{API}{path}", data, headers, method=method)
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
            return json.load(answer)

    def create(self, project: str, kind: str, **attributes: Any) -> Any:
        return self.api("POST", f"/v2.0/{kind}s", {kind: attributes}, project)[kind]

    def peers(self) -> set[str]:
        """The connections of the controller's switches; empty if it does not answer."""
        try:
            switches = self.api("GET", "/tenantry/v1/status")["switches"]
        except OSError:
            return set()
        return {switch["peer"] for switch in switches if switch["connected"]}

    def whole(self) -> bool:
        """The switch is connected, and holds exactly what a computation from nothing wants."""
        return bool(self.peers()) and bool(self.api("GET", "/tenantry/v1/verify")["ok"])

    def flows_of(self, guest: Guest) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = self.api(
            "GET", f"/tenantry/v1/flows?object={guest.port['id']}"
        )
        return found

    def is_active(self, guest: Guest) -> bool:
        port = self.api("GET", f"/v2.0/ports/{guest.port['id']}")["port"]
        return bool(port["status"] == "ACTIVE")

    # The guests.

    def _make_guests(self) -> None:
        self._networks = {project: self._network(project) for project in ("drill", "stranger")}
        self.one = self._guest(1, "drill")
        self.two = self._guest(2, "drill")
        same = {"mac_address": self.two.port["mac_address"], "fixed_ips": self.two.addresses}
        self.stranger = self._guest(3, "stranger", **same)
        self.unbound = self._guest(4, "drill")
        guests = (self.one, self.two, self.stranger, self.unbound)
        self.until(lambda: all(map(self.is_active, guests)), "controller")
        interface = self.unbound.plugged.interface
        plug.run(f"ovs-vsctl --timeout=10 remove Interface {interface} external_ids iface-id")
        self.until(lambda: not self.is_active(self.unbound) and self.whole(), "controller")
        for intruder in (self.stranger, self.unbound):
            for address in self.one.addresses:  # no neighbour would ever tell them
                plug.run(
                    f"ip -n {intruder.plugged.netns} neighbour replace {address} nud permanent"
                    f" lladdr {self.one.port['mac_address']} dev {intruder.plugged.netns_interface}"
                )
        for address in self.two.addresses:
            plug.run(f"ip netns exec {self.one.plugged.netns} ping -q -c1 -w10 {address}")

    def _network(self, project: str) -> tuple[Any, list[Any]]:
        network = self.create(project, "network", name=project)
        subnets = [
            self.create(project, "subnet", network_id=network["id"], cidr=cidr, ip_version=version)
            for cidr, version in (("10.0.0.0/24", 4), ("fd00::/64", 6))
        ]
        return network, subnets

    def _guest(
        self, number: int, project: str, fixed_ips: Iterable[str] | None = None, **attributes: Any
    ) -> Guest:
        network, _ = self._networks[project]
        if fixed_ips is not None:
            attributes["fixed_ips"] = [{"ip_address": address} for address in fixed_ips]
        port = self.create(project, "port", network_id=network["id"], **attributes)
        addresses = sorted((ip["ip_address"] for ip in port["fixed_ips"]), key=lambda ip: ":" in ip)
        return Guest(number, port, self.plug(port), addresses)

    def plug(self, port: plug.Resource) -> plug.Plugged:
        network, subnets = self._networks[port["project_id"]]
        return plug.plug(port, network, subnets, bridge=BRIDGE)


# --- events ----------------------------------------------------------------------------------


def restart(stage: Stage) -> None:
    """the controller is killed (-9) and started again"""
    stage.kill("controller")
    stage.start_controller()


def reconnect(stage: Stage) -> None:
    """the switch loses its controller, and connects to it again"""
    target = plug.run(f"ovs-vsctl --timeout=10 get-controller {BRIDGE}").strip()
    # Not del-controller: when the last one goes, OVS empties the bridge's tables by itself.
    for controller in ("tcp:127.0.0.1:1", target):
        plug.run(
            f"ovs-vsctl --timeout=10 set-controller {BRIDGE} {controller}"
            f" -- set Controller {BRIDGE} connection_mode=out-of-band"
        )


def tamper(stage: Stage) -> None:
    """flows of another tenant are deleted by hand, foreign ones added, its port pulled and put"""
    doomed = stage.flows_of(stage.stranger)
    plug.run(f"ovs-vsctl --timeout=10 del-port {BRIDGE} {stage.stranger.plugged.interface}")
    stage.plug(stage.stranger.port)
    commands = [f"delete cookie={flow['cookie']}/-1" for flow in doomed]
    commands += [f"add cookie={n},table=0,priority={n},vlan_tci={n},actions=drop" for n in range(9)]
    plug.run(f"ovs-ofctl -O OpenFlow14 add-flows {BRIDGE} -", stdin="\n".join(commands) + "\n")


def ovs_restart(stage: Stage) -> None:
    """ovs-vswitchd is killed (-9) and started again, with no flow in it"""
    stage.kill("ovs-vswitchd")
    stage.start_switch()


EVENTS: dict[str, Callable[[Stage], None]] = {
    "restart": restart,
    "reconnect": reconnect,
    "tamper": tamper,
    "ovs-restart": ovs_restart,
}
RECONNECTS = {"restart", "reconnect", "ovs-restart"}


def play(event: str, packets: int) -> Result:
    """The drill itself, in a process that :data:`STAGE` started."""
    _say("starting an Open vSwitch, a controller and four guests of its own")
    stage = Stage()
    talks = [
        _talk(stage.one, stage.two, PER_SECOND),
        _talk(stage.two, stage.one, PER_SECOND),
        _talk(stage.stranger, stage.one, INTRUDERS_PER_SECOND),
        _talk(stage.unbound, stage.one, INTRUDERS_PER_SECOND),
    ]
    for talk in talks:
        assert talk.stdout is not None
        if talk.stdout.readline() != "ready\n":
            raise DrillError("a guest does not come up")
    _say(f"sending at least {packets} packets each way, {PER_SECOND} a second")
    start = time.time_ns()
    for talk in talks:
        assert talk.stdin is not None
        talk.stdin.write(f"{start}\n")
        talk.stdin.flush()
    seconds = packets / PER_SECOND
    time.sleep(seconds / 2)
    before = stage.peers() if event in RECONNECTS else set()
    began = time.time_ns()
    _say(f"{event}: {EVENTS[event].__doc__}")
    EVENTS[event](stage)
    stage.until(lambda: stage.peers() != before and stage.whole(), "controller")
    whole = (time.time_ns() - began) / 1e9
    _say(f"whole again after {whole:.2f} s")
    # The others must have had their chance too: what is needed for that, and what was promised.
    time.sleep(max(AFTERMATH_SECONDS, seconds - (time.time_ns() - start) / 1e9))
    for talk in talks:
        assert talk.stdin is not None
        talk.stdin.close()
    heard = [Heard(**json.load(talk.stdout)) for talk in talks if talk.stdout is not None]
    return judge(event, heard, began, whole)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# --- judging ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Heard:
    """What a guest has to tell. Times are nanoseconds since the epoch."""

    number: int
    sent: int
    frames: int  # that reached an intruder's wire; 0 for others, who do not count them
    arrivals: list[tuple[int, int, int, int]]  # from whom, which packet, when sent, when come


def judge(event: str, heard: list[Heard], began: int, whole_seconds: float) -> Result:
    """Of what the guests heard (one and two first, then the intruders) make a result. Pure."""
    one, two, *intruders = heard
    leaked = sum(intruder.frames for intruder in intruders)
    lost = duplicates = 0
    gaps, ways, calm = [0], [0], [0]
    for sender, receiver in ((one, two), (two, one)):
        leaked += sum(arrival[0] != sender.number for arrival in receiver.arrivals)
        came = [a for a in receiver.arrivals if a[0] == sender.number and a[1] >= 0]
        different = {packet for _, packet, _, _ in came}
        lost += sender.sent - len(different)
        duplicates += len(came) - len(different)
        times = sorted(arrived for *_, arrived in came)
        gaps += [later - earlier for earlier, later in zip(times, times[1:], strict=False)]
        ways += [arrived - sent for _, _, sent, arrived in came]
        calm += [arrived - sent for _, _, sent, arrived in came if arrived < began]
    return Result(
        event=event,
        sent=one.sent + two.sent,
        lost=lost,
        duplicates=duplicates,
        longest_gap_ms=max(gaps) / 1e6,
        longest_way_ms=max(ways) / 1e6,
        calm_way_ms=max(calm) / 1e6,
        whole_seconds=whole_seconds,
        leaked=leaked,
    )


# --- inside a guest --------------------------------------------------------------------------


def _talk(guest: Guest, to: Guest, per_second: int) -> subprocess.Popen[str]:
    """Start :func:`talk` in the namespace of a guest."""
    words = [str(guest.number), guest.plugged.netns_interface, str(per_second), *to.addresses]
    return subprocess.Popen(
        [
            *("ip", "netns", "exec", guest.plugged.netns),
            *(sys.executable, "-m", "controller.drill", "talk", *words),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def talk(number: int, interface: str, per_second: int, four: str, six: str) -> Heard:
    """Send to a guest's two addresses in turns, by a timetable, and hear what comes meanwhile.

    Says "ready", reads from stdin when to begin, and goes on until stdin ends. An intruder (by its
    number) hears every frame on its wire instead of only what is sent to its addresses.
    """
    senders = [
        (_udp(socket.AF_INET, interface), (four, PORT), ("255.255.255.255", PORT)),
        (_udp(socket.AF_INET6, interface), (six, PORT), ("ff02::1", PORT)),
    ]
    wire = None
    if number > 2:
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        wire.bind((interface, 0))
    ears = [wire] if wire else [udp for udp, _, _ in senders]
    print("ready", flush=True)
    start = int(sys.stdin.readline())
    period = 1_000_000_000 // per_second
    sent, frames = 0, 0
    arrivals: list[tuple[int, int, int, int]] = []
    last_words: float | None = None  # when to stop listening, once stdin has ended
    while last_words is None or time.monotonic() < last_words:
        due = start + sent * period
        if last_words is None and time.time_ns() >= due:
            udp, address, everybody = senders[sent % 2]
            udp.sendto(_PAYLOAD.pack(number, sent, time.time_ns()), address)
            sent += 1
            if sent % BROADCAST_EVERY == 0:
                udp.sendto(_PAYLOAD.pack(number, -1, time.time_ns()), everybody)
            wait = 0.0
        elif last_words is None:
            wait = max(0.0, (due - time.time_ns()) / 1e9)
        else:
            wait = STRAGGLER_SECONDS
        listen = [*ears, sys.stdin] if last_words is None else ears
        for ear in select.select(listen, [], [], wait)[0]:
            if ear is sys.stdin:
                last_words = time.monotonic() + STRAGGLER_SECONDS
            elif ear is wire:
                frames += wire.recvfrom(64)[1][2] != PACKET_OUTGOING
            else:
                data, [(_, _, stamp)], _, _ = ear.recvmsg(64, 64)
                seconds, nanoseconds = _TIMESPEC.unpack(stamp)
                who, packet, when = _PAYLOAD.unpack(data)
                if who != number:  # the kernel lets us hear our own broadcasts
                    arrivals.append((who, packet, when, seconds * 1_000_000_000 + nanoseconds))
    return Heard(number, sent, frames, arrivals)


def _udp(family: int, interface: str) -> socket.socket:
    udp = socket.socket(family, socket.SOCK_DGRAM)
    udp.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
    udp.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    # What the switch delivered shall not be lost here, nor wait for our turn on the processor.
    udp.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 24)
    udp.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    if family == socket.AF_INET6:
        udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    udp.bind(("", PORT))
    return udp


if __name__ == "__main__":
    try:
        if sys.argv[1] == "talk":
            n, name, rate, *to = sys.argv[2:]
            answer = asdict(talk(int(n), name, int(rate), *to))
        else:
            answer = play(sys.argv[2], int(sys.argv[3])).as_dict()
    except (DrillError, plug.PlugError, OSError) as error:
        sys.exit(print(error) or 1)
    json.dump(answer, sys.stdout)
