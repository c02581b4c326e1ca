# SPDX-License-Identifier: Apache-2.0

"""``tenantry doctor``: what this machine lacks, and the command that mends it.

Owns the diagnosis alone: it looks and changes nothing, needs no configuration beyond what it is
handed, and must work where everything else does not.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from tenantry.controller.client import Client, NoController
from tenantry.controller.sockets import descriptors

APT = "apt-get install --no-install-recommends"
MINIMAL_OVS = (2, 17)  # Ubuntu 22.04's; the oldest one tried
TSO, TUNNELS_TSO = "userspace-tso-enable", (3, 3)  # the first that has it for VXLAN and Geneve
ENOUGH = 4096  # descriptors: for a thousand switches
CAP_NET_ADMIN, CAP_SYS_ADMIN = 12, 21  # linux/capability.h


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. ``remedy`` is the exact command that mends it, "" where none does."""

    what: str
    ok: bool
    detail: str
    remedy: str = ""
    needed: bool = True  # False: only some commands, the demo or the tests want it

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def diagnose(client: Client, bridge: str = "br-int") -> list[Finding]:
    """Look at everything; never raises. ``bridge`` "" means that there is no integration bridge."""
    checks: list[Callable[[], Iterator[Finding]]] = [
        _python,
        _privileges,
        _commands,
        _open_vswitch,
        lambda: _bridge(bridge),
        lambda: _controller(client),
    ]
    return [finding for check in checks for finding in check()]


def _python() -> Iterator[Finding]:
    yield Finding("Python", sys.version_info >= (3, 10), sys.version.split()[0], f"{APT} python3")
    try:
        version = importlib.metadata.version("os-ken")
    except importlib.metadata.PackageNotFoundError:
        version = "not installed"
    # Earlier ones deadlock when a switch reconnects.
    ok = _numbers(version) >= (4, 2, 1)
    pip = f"{sys.executable} -m pip install"
    yield Finding("os-ken >= 4.2.1", ok, version, f"{pip} 'os-ken>=4.2.1'")


def _privileges() -> Iterator[Finding]:
    capabilities = 0
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            capabilities = int(line.split()[1], 16)
    wanted = 1 << CAP_NET_ADMIN | 1 << CAP_SYS_ADMIN
    ok = capabilities & wanted == wanted
    detail = "CAP_NET_ADMIN and CAP_SYS_ADMIN" if ok else "missing: plug, demo and tests want them"
    yield Finding("privileges", ok, detail, f"sudo {tenantry(True)} doctor", needed=False)
    failure = _run("unshare --net true")[0] is None
    detail = "may be created" if not failure else "may not be created here"
    remedy = "docker run --privileged ..." if Path("/.dockerenv").exists() else "sudo -i"
    yield Finding("network namespaces", not failure, detail, remedy, needed=False)


def _commands() -> Iterator[Finding]:
    for command, package, needed in (
        ("ip", "iproute2", True),
        ("ovs-vsctl", "openvswitch-switch", True),
        ("ethtool", "ethtool", False),
        ("nsenter", "util-linux", False),
        ("mn", "mininet", False),
    ):
        path = shutil.which(command)
        yield Finding(command, path is not None, path or "not found", f"{APT} {package}", needed)


def _open_vswitch() -> Iterator[Finding]:
    """The daemons, reached the way every ovs-* command reaches them (OVS_RUNDIR included)."""
    if shutil.which("ovs-vsctl") is None:
        return  # that has been said
    database, why = _run("ovs-vsctl --timeout=3 --no-wait show")
    yield Finding("ovsdb-server", database is not None, why or "answers", _start_command())
    switch, why = _run("ovs-appctl --timeout=3 --target=ovs-vswitchd version")
    yield Finding("ovs-vswitchd", switch is not None, why or "answers", _start_command())
    if switch is not None:
        version = switch.split("\n")[0].rpartition(" ")[2]
        minimum = ".".join(map(str, MINIMAL_OVS))
        ok = _numbers(version) >= MINIMAL_OVS
        yield Finding(f"Open vSwitch >= {minimum}", ok, version, f"{APT} openvswitch-switch")
    kernel, _ = _run("ovs-dpctl dump-dps")
    detail = "the kernel's" if kernel is not None else "userspace (datapath_type=netdev), slower"
    yield Finding("datapath", True, detail)


def _bridge(bridge: str) -> Iterator[Finding]:
    if not bridge:
        return
    columns = "fail_mode,controller,datapath_id,datapath_type"
    rows = _rows(f"--columns={columns} find Bridge name={bridge}")
    if rows is None:
        return  # no OVSDB to ask, which has been said
    if not rows:
        yield Finding(f"bridge {bridge}", False, "not there", f"{tenantry()} serve")
        return
    fail_mode, controllers, datapath_id, datapath_type = rows[0]
    # An empty set instead of a text: OVS wants a kernel module for it that is not there.
    works = isinstance(datapath_id, str)
    yield Finding(
        f"bridge {bridge} works",
        works,
        f"datapath id {datapath_id}" if works else "Open vSwitch cannot make its datapath",
        f"ovs-vsctl set Bridge {bridge} datapath_type=netdev",
    )
    yield Finding(
        f"bridge {bridge} fails secure",
        fail_mode == "secure",
        f"fail_mode is {fail_mode if isinstance(fail_mode, str) else 'not set'}",
        f"ovs-vsctl set-fail-mode {bridge} secure",
    )
    if datapath_type == "netdev":
        yield _checksums()
        yield from _tunnels(bridge)
    all_targets = _rows("--columns=_uuid,target,is_connected list Controller") or []
    # A set of one is written as its element alone: ["uuid", X], else ["set", [["uuid", X], ...]].
    ours = [controllers] if controllers[0] == "uuid" else controllers[1]
    targets = [(target, connected) for uuid, target, connected in all_targets if uuid in ours]
    ok = any(connected is True for _, connected in targets)
    names = " ".join(target for target, _ in targets) or "no controller"
    detail = f"{names}, {'connected' if ok else 'not connected'}"
    yield Finding(f"bridge {bridge} is connected", ok, detail, f"{tenantry()} serve")


def _checksums() -> Finding:
    """Machines with virtio leave checksums to the host, and the userspace datapath computes none,
    unless it is told to. Then, too, such packets do not pass its tunnels, but for newer ones."""
    told, _ = _run(f"ovs-vsctl --timeout=3 --if-exists get Open_vSwitch . other_config:{TSO}")
    version, _ = _run("ovs-appctl --timeout=3 --target=ovs-vswitchd version")
    tunnels = _numbers((version or "").split("\n")[0].rpartition(" ")[2]) >= TUNNELS_TSO
    on = (told or "").strip().strip('"') == "true"
    if on and tunnels:
        detail = f"{TSO} is on"
    elif on:
        detail = f"{TSO} is on, but TCP of machines that leave theirs to the host passes no tunnels"
    else:
        detail = "a machine that leaves its checksums to the host, as libvirt's do, has no TCP"
    command = f"ovs-vsctl set Open_vSwitch . other_config:{TSO}=true, then restart Open vSwitch"
    offload = (
        "<host csum='off' tso4='off' tso6='off'/> in the <driver> of its interface (virsh edit)"
    )
    remedy = command if tunnels else f"{offload}, or `ethtool -K eth0 tx off` inside"
    return Finding("checksums of virtual machines", on and tunnels, detail, remedy, needed=False)


def _tunnels(bridge: str) -> Iterator[Finding]:
    """The userspace datapath sends into tunnels by its own bridges alone: the address must be on
    one."""
    rows = _rows("--columns=options find Interface options:remote_ip=flow") or []
    for address in sorted({dict(options[1]).get("local_ip", "") for (options,) in rows} - {""}):
        shown, _ = _run(f"ip -o address show to {address}")
        device = (shown or "").split()[1:2]
        found, _ = _run(f"ovs-vsctl --timeout=3 br-exists {device[0]}") if device else (None, "")
        yield Finding(
            f"tunnels of {bridge} leave by {address}",
            found is not None,
            f"on {' '.join(device) or 'no interface'}"
            + (", which is no bridge of Open vSwitch's" if device and found is None else ""),
            "ovs-vsctl add-br br-phy -- set Bridge br-phy datapath_type=netdev -- add-port br-phy "
            f"UPLINK; ip address add {address}/LENGTH dev br-phy; ip link set br-phy up",
        )


def _rows(query: str) -> list[list[Any]] | None:
    """What OVSDB answers, in its JSON notation (RFC 7047, section 5.1); None if it does not."""
    answer, _ = _run(f"ovs-vsctl --timeout=3 --format=json {query}")
    if answer is None:
        return None
    rows: list[list[Any]] = json.loads(answer)["data"]
    return rows


def _controller(client: Client) -> Iterator[Finding]:
    try:
        told = client.get("/tenantry/v1/status", 3)
        yield Finding("controller", True, f"{client.url}, revision {told['revision']}")
        yield from _who_reaches(told["api"])
        yield from _descriptors(told["descriptors"])
        yield from _workers(told.get("workers", []))
        return
    except NoController as error:
        detail, remedy = f"{client.url}: {error.reason}", f"{tenantry()} serve"
    except click.ClickException as error:
        detail, remedy = error.message, "set the variables that are named, or --os-cloud"
    except (LookupError, TypeError):
        detail, remedy = f"{client.url}: what answers is no Tenantry controller", "--url"
    yield Finding("controller", False, detail, remedy)
    yield from _descriptors(descriptors.highest_limit())


def _workers(workers: list[dict[str, Any]]) -> Iterator[Finding]:
    """Those who run processes for features: nobody need have any."""
    for each in workers:
        wrong = [process for process in each["processes"] if not process["confirmed"]]
        detail = f"{len(each['processes'])} processes" if each["alive"] else "is silent"
        if wrong:
            detail += f"; {wrong[0]['name']} is {wrong[0]['state']}: {wrong[0]['reason']}"
        remedy = f"systemctl start tenantry-worker there, or {tenantry()} worker list"
        ok = each["alive"] and not wrong
        yield Finding(f"worker {each['name']}", ok, detail, remedy, needed=False)


_BACK = "[api] listen = 127.0.0.1:9696"


def _who_reaches(api: dict[str, Any]) -> Iterator[Finding]:
    """An API that others than this machine reach."""
    if api["loopback"]:
        return
    known = api["auth_type"] != "none"
    detail = f"auth_type is {api['auth_type']}{'' if known else ': whoever reaches it may do all'}"
    remedy = f"[api] auth_type = basic (docs/accounts.md), or {_BACK}"
    yield Finding("API asks who calls", known, detail, remedy)
    detail = "https" if api["tls"] else "passwords and tokens can be read on their way"
    remedy = f"[api] tls_certificate and tls_private_key, or a proxy of that kind and {_BACK}"
    yield Finding("API is encrypted", api["tls"], detail, remedy)


def _descriptors(limit: int) -> Iterator[Finding]:
    """Each switch, host, guest and client that is connected takes one."""
    shares = descriptors.shares(limit)
    yield Finding(
        f"descriptors >= {ENOUGH}",
        limit >= ENOUGH,
        f"{limit}: {shares.switches} switches and {shares.hosts} hosts may be connected at a time",
        "LimitNOFILE=65536 in the unit's [Service], or ulimit -Hn 65536 before serve",
        needed=False,
    )


def tenantry(by_sudo: bool = False) -> str:
    """How this command is called again, wherever it is installed; sudo looks elsewhere than we."""
    called = Path(sys.argv[0])
    if called.name != "tenantry" or (shutil.which("tenantry") and not by_sudo):
        return "tenantry"
    return str(called.absolute())


def _start_command() -> str:
    """What starts Open vSwitch on this machine."""
    if Path("/run/systemd/system").exists():
        return "systemctl start openvswitch-switch"
    control = "/usr/share/openvswitch/scripts/ovs-ctl --system-id=random"
    if _run("modinfo openvswitch")[0] is not None:
        return f"{control} start"
    # Without the kernel's module, which ovs-ctl insists on, there is the userspace datapath.
    switch = "ovs-vswitchd --pidfile --detach --log-file"
    return f"{control} --no-ovs-vswitchd start && {switch}"


def _run(command: str) -> tuple[str | None, str]:
    """What the command printed, None if it failed; and its last complaint, "" if it succeeded."""
    try:
        result = subprocess.run(command.split(), capture_output=True, text=True, check=False)
    except OSError as error:
        return None, str(error)
    if result.returncode:
        return None, (result.stderr.strip() or result.stdout.strip()).split("\n")[-1]
    return result.stdout, ""


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)))
