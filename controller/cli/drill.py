# SPDX-License-Identifier: Apache-2.0

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

import itertools
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from tenantry.controller.cli import plug
from tenantry.controller.cli.openvswitch import CommandError, OpenVSwitch, daemon
from tenantry.controller.cli.traffic import Heard, Talk, nanoseconds_between

PER_SECOND = 1000
INTRUDERS_PER_SECOND = 100
AFTERMATH_SECONDS = 0.5  # of traffic, at the least, when all is whole again
PATIENCE_SECONDS = 60.0
POLL_SECONDS = 0.05

STAGE = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
"""Whatever the drill starts is a child of a process that the kernel ends with everything in it."""

DIRECTORY = Path("/run/tenantry-drill")  # on a tmpfs that only the stage sees
API = "http://127.0.0.1:9696"  # the network is the stage's own, so the port is free
BRIDGE = "br-int"
CONFIGURATION = f"""\
[store]
url = sqlite:///{DIRECTORY}/tenantry.db
[ovsdb]
connections = unix:{DIRECTORY}/ovs/db.sock
integration_bridge = {BRIDGE}
"""


class DrillError(Exception):
    """The drill could not be carried out; the text says why."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of the packets of a drill, both directions together."""

    event: str
    sent: int
    lost: int
    lost_before: int  # of the lost ones, those due before the event; it meets a few on their way
    lost_afterwards: int  # ... and those due when all was whole again
    duplicates: int
    longest_gap_ms: float  # between two arrivals at the same guest
    longest_way_ms: float  # of one packet, from guest to guest
    calm_way_ms: float  # the same, of those that arrived before the event
    whole_seconds: float  # from the event until wanted equals installed, in a connected switch
    leaked: int  # packets delivered to or from an intruder

    @property
    def passed(self) -> bool:
        """Nothing forbidden was delivered, and nothing was lost, unless the switch itself died."""
        lost = self.lost_afterwards if self.event == "ovs-restart" else self.lost
        return not lost and not self.leaked

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def describe(self) -> str:
        """For people."""
        return (
            f"{self.event}: {EVENTS[self.event].__doc__}\n"
            f"  lost {self.lost} of {self.sent} packets ({self.lost_before} before the event,"
            f" {self.lost_afterwards} when all was whole again); {self.duplicates} came twice\n"
            f"  longest gap between two arrivals {self.longest_gap_ms:.1f} ms; longest way of a"
            f" packet {self.longest_way_ms:.1f} ms, before the event {self.calm_way_ms:.1f} ms\n"
            f"  whole again after {self.whole_seconds:.2f} s\n"
            f"  delivered although the rules forbid it: {self.leaked}"
        )


def drill(event: str, packets: int = 10_000, per_second: int = PER_SECOND) -> Result:
    """Carry out one of :data:`EVENTS` under traffic, of at least ``packets`` each way.

    The more a second, the shorter a loss shows; the fewer, the longer may the machine keep the
    switch from a processor before a buffer (of some 250) is full, which is nobody's fault here.
    Takes a few seconds more than the packets do. Progress goes to stderr. Raises DrillError.
    """
    if event not in EVENTS:
        raise DrillError(f"there is no drill {event}; there are {', '.join(EVENTS)}")
    words = [*STAGE, sys.executable, "-m", "tenantry.controller.cli.drill", event]
    words += [str(packets), str(per_second)]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        advice = "the drill failed as told above; it makes namespaces: run it as root"
        raise DrillError(done.stdout.strip() or advice)
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
        plug.run("mount -t tmpfs tmpfs /run")
        plug.run("ip link set lo up")
        DIRECTORY.mkdir()
        self.ovs = OpenVSwitch(DIRECTORY / "ovs")
        self.ovs.start(hostname="drill")
        os.environ.update(self.ovs.environment)
        (DIRECTORY / "tenantry.conf").write_text(CONFIGURATION)
        self.start_controller()
        self.until(self.whole)
        self._make_guests()

    # What runs here.

    def start_controller(self) -> None:
        words = ("-m", "tenantry.controller", "--config-file", DIRECTORY / "tenantry.conf", "serve")
        self._controller = daemon(sys.executable, *words, directory=DIRECTORY, name="controller")

    def kill_controller(self) -> None:
        """``kill -9``."""
        self._controller.kill()
        self._controller.wait()

    def until(self, condition: Callable[[], bool]) -> None:
        """Look again and again. Raises DrillError, with the log of the controller, which is to
        bring it about."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            if self._controller.poll() is not None or time.monotonic() > deadline:
                log = (DIRECTORY / "controller.log").read_text(errors="replace")[-2000:]
                raise DrillError(f"the drill waits in vain; the controller's log ends:\n{log}")
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
        """The connections that the controller has to switches."""
        switches = self.api("GET", "/tenantry/v1/status")["switches"]
        return {switch["peer"] for switch in switches if switch["connected"]}

    def whole(self, gone: Set[str] = frozenset()) -> bool:
        """A switch is connected, otherwise than by a connection that is to be ``gone``, and holds
        exactly what a computation from nothing wants."""
        try:
            peers = self.peers()
            if not peers or peers & gone:
                return False
            return bool(self.api("GET", "/tenantry/v1/verify")["ok"])
        except OSError:  # the controller is not up yet
            return False

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
        self.until(lambda: all(map(self.is_active, guests)))
        interface = self.unbound.plugged.interface
        plug.run(f"ovs-vsctl --timeout=10 remove Interface {interface} external_ids iface-id")
        self.until(lambda: not self.is_active(self.unbound) and self.whole())
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
    stage.kill_controller()
    stage.start_controller()


def reconnect(stage: Stage) -> None:
    """the switch is led to another controller by hand; its own takes it back"""
    gone = stage.peers()

    def led_away() -> bool:
        # Not del-controller: when the last one goes, OVS empties the bridge's tables by itself.
        plug.run(f"ovs-vsctl --timeout=10 set-controller {BRIDGE} tcp:127.0.0.1:1")
        return not stage.peers() & gone

    stage.until(led_away)  # it may be back before Open vSwitch has noticed


def tamper(stage: Stage) -> None:
    """a port is pulled out and put back; flows are deleted by hand, foreign ones are added"""
    victim = stage.stranger
    plug.run(f"ovs-vsctl --timeout=10 del-port {BRIDGE} {victim.plugged.interface}")
    stage.plug(victim.port)
    stage.until(lambda: stage.is_active(victim))
    flows = [f"delete cookie={flow['cookie']}/-1" for flow in stage.flows_of(victim)]
    flows += [f"add table={n},priority=7,dl_type=0x88b5,actions=drop" for n in range(100)]
    plug.run(f"ovs-ofctl -O OpenFlow14 add-flows {BRIDGE} -", stdin="\n".join(flows) + "\n")


def ovs_restart(stage: Stage) -> None:
    """ovs-vswitchd is killed (-9) and started again, with no flow in it"""
    stage.ovs.crash_switch()
    stage.ovs.start_switch()


EVENTS: dict[str, Callable[[Stage], None]] = {
    "restart": restart,
    "reconnect": reconnect,
    "tamper": tamper,
    "ovs-restart": ovs_restart,
}
RECONNECTS = {"restart", "reconnect", "ovs-restart"}


def play(event: str, packets: int, per_second: int = PER_SECOND) -> Result:
    """The drill itself, in a process that :data:`STAGE` started."""
    _say("starting an Open vSwitch, a controller and four guests for the drill")
    stage = Stage()
    talks = [
        _talk(stage.one, stage.two, per_second),
        _talk(stage.two, stage.one, per_second),
        _talk(stage.stranger, stage.one, INTRUDERS_PER_SECOND, intruder=True),
        _talk(stage.unbound, stage.one, INTRUDERS_PER_SECOND, intruder=True),
    ]
    _say(f"sending at least {packets} packets each way, {per_second} a second")
    start = time.time_ns()
    for talk in talks:
        talk.begin(start)
    seconds = packets / per_second
    time.sleep(seconds / 2)
    gone = stage.peers() if event in RECONNECTS else set()
    _say(f"{event}: {EVENTS[event].__doc__}")
    began = time.time_ns()
    EVENTS[event](stage)
    stage.until(lambda: stage.whole(gone))
    whole = time.time_ns()
    _say(f"whole again after {(whole - began) / 1e9:.2f} s")
    time.sleep(max(AFTERMATH_SECONDS, seconds - (whole - start) / 1e9))
    for talk in talks:
        talk.end()
    return judge(event, [t.heard() for t in talks], start, began, whole, per_second)


def _talk(guest: Guest, to: Guest, per_second: int, intruder: bool = False) -> Talk:
    where = guest.plugged.netns, guest.plugged.netns_interface
    return Talk(guest.number, *where, to.addresses, per_second, intruder)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# --- judging ---------------------------------------------------------------------------------


def judge(
    event: str,
    heard: list[Heard],
    start: int,
    began: int,
    whole: int,
    per_second: int = PER_SECOND,
) -> Result:
    """Of what the guests heard (one and two first, then the intruders) make a result. Pure."""
    one, two, *intruders = heard
    leaked = sum(intruder.frames for intruder in intruders)
    lost: list[int] = []  # when they were due
    duplicates = 0
    period = nanoseconds_between(per_second)
    gaps, ways, calm = [0], [0], [0]
    for sender, receiver in ((one, two), (two, one)):
        leaked += sum(arrival[0] != sender.number for arrival in receiver.arrivals)
        came = [a for a in receiver.arrivals if a[0] == sender.number and a[1] >= 0]
        different = {packet for _, packet, _, _ in came}
        lost += [start + n * period for n in range(sender.sent) if n not in different]
        duplicates += len(came) - len(different)
        times = sorted(arrived for *_, arrived in came)
        gaps += [later - earlier for earlier, later in itertools.pairwise(times)]
        ways += [arrived - sent for _, _, sent, arrived in came]
        calm += [arrived - sent for _, _, sent, arrived in came if arrived < began]
    return Result(
        event=event,
        sent=one.sent + two.sent,
        lost=len(lost),
        lost_before=sum(due < began for due in lost),
        lost_afterwards=sum(due > whole for due in lost),
        duplicates=duplicates,
        longest_gap_ms=max(gaps) / 1e6,
        longest_way_ms=max(ways) / 1e6,
        calm_way_ms=max(calm) / 1e6,
        whole_seconds=(whole - began) / 1e9,
        leaked=leaked,
    )


if __name__ == "__main__":
    try:
        json.dump(play(sys.argv[1], *map(int, sys.argv[2:])).as_dict(), sys.stdout)
    except (DrillError, CommandError, plug.PlugError, OSError) as error:
        print(error)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
