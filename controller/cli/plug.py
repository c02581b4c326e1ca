# SPDX-License-Identifier: Apache-2.0

"""``tenantry plug`` and ``unplug``: a port's other end, for a person without a hypervisor.

Owns the veth pair between the integration bridge and a network namespace, with what the port says
about it: MAC, MTU, addresses, routes, resolvers. It binds the port as Nova and libvirt do, by
``iface-id``, and knows its own work again by a mark: it must never touch an interface or remove a
namespace that it did not make. It writes no flow and asks the API nothing; the caller hands the
resources in, as the API shows them.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from ipaddress import ip_interface, ip_network
from pathlib import Path
from typing import Any

Resource = Mapping[str, Any]

#: In external_ids of the switch's interface: made by us, for the namespace that is the value. As
#: the alias of ``lo``: this namespace was made by us; the alias lives and dies with it.
MARK = "tenantry-plug"
NETNS_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
#: Below NAME/ is what `ip netns exec NAME` shows in place of files in /etc: ip-netns(8).
ETC = Path("/etc/netns")
#: What the kernel puts into every new namespace, depending on the modules it has.
IPV4_FALLBACK_DEVICES = {"tunl0", "gre0", "gretap0", "erspan0", "ip_vti0"}
FALLBACK_DEVICES = IPV4_FALLBACK_DEVICES | {"lo", "sit0", "ip6tnl0", "ip6gre0", "ip6_vti0"}


class PlugError(Exception):
    """It cannot be done; the text says why and what to do. Nothing was changed."""


@dataclass(frozen=True, slots=True)
class Plugged:
    """Where a port's two ends are."""

    port_id: str
    bridge: str
    interface: str  # the switch's end
    netns: str
    netns_interface: str
    addresses: tuple[str, ...]  # with prefix lengths

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def describe(self) -> str:
        """For people: where it is, and how to use it."""
        return (
            f"port {self.port_id} is {self.netns_interface} in namespace {self.netns}, with "
            f"{' and '.join(self.addresses) or 'no address'}; try\n"
            f"  ip netns exec {self.netns} ip address"
        )


def run(command: str, stdin: str | None = None) -> str:
    """Run a command, split at its spaces; return what it printed.

    Raises PlugError with the command and its words.
    """
    words = command.split()
    try:
        result = subprocess.run(words, input=stdin, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise PlugError(f"{words[0]} is not installed; `tenantry doctor` tells how") from None
    if result.returncode:
        said = (result.stderr or result.stdout).strip() or f"exit status {result.returncode}"
        commands = f" with:\n{stdin}" if stdin else ""
        raise PlugError(f"`{command}` failed: {said}{commands}")
    return result.stdout


def interface_name(port_id: str) -> str:
    """The switch's end: 14 characters of the kernel's 15, as Neutron names it."""
    return f"tap{port_id[:11]}"


def netns_interface_name(port_id: str) -> str:
    """The end inside the namespace, where several ports may live side by side."""
    return f"eth{port_id[:11]}"


def default_netns(port: Resource) -> str:
    """The port's name where that can name a namespace, else the short form of its id."""
    name = str(port.get("name") or "")
    return name if NETNS_NAME.fullmatch(name) else str(port["id"])[:8]


def plug(
    port: Resource,
    network: Resource,
    subnets: Iterable[Resource],
    *,
    bridge: str,
    netns: str | None = None,
) -> Plugged:
    """Connect ``port`` to a namespace, created if missing; return where its ends are.

    Doing so again brings what is there in line with the port as it is now. Raises PlugError, having
    undone what it had begun.
    """
    netns = default_netns(port) if netns is None else netns
    if not NETNS_NAME.fullmatch(netns):
        raise PlugError(f"{netns!r} cannot name a namespace: use letters, digits and '._-'")
    port_id = str(port["id"])
    tap, inner = interface_name(port_id), netns_interface_name(port_id)
    there = _plugged_into(tap)
    if there not in (None, netns):
        raise PlugError(
            f"port {port_id} is plugged into namespace {there}; "
            f"run `tenantry unplug {port_id}` first"
        )
    if bridge not in run("ovs-vsctl --timeout=10 list-br").split():
        raise PlugError(
            f"Open vSwitch has no bridge {bridge}; `tenantry serve` creates it, "
            "see integration_bridge in its configuration"
        )
    subnets = list(subnets)
    addresses, routes = _addresses_and_routes(port, subnets)
    try:
        _make_netns(netns)
        if not _has_link(tap) or not _has_link(inner, netns):
            _delete_link(tap)
            run(f"ip link add {tap} type veth peer name {inner} netns {netns}")
        # What the kernel itself would say on the switch's end is no tenant's traffic.
        _silence(tap)
        run(f"ip link set {tap} mtu {network['mtu']} up")
        _configure(netns, inner, str(port["mac_address"]), int(network["mtu"]), addresses, routes)
        run(
            f"ovs-vsctl --timeout=10 --may-exist add-port {bridge} {tap} -- set Interface {tap}"
            f" external_ids:iface-id={port_id} external_ids:{MARK}={netns}"
            f' external_ids:attached-mac="{port["mac_address"]}"'
        )
        _write_resolvers(netns, port_id, resolv_conf(port, subnets))
    except PlugError:
        if there is None:
            _remove(tap, netns, bridge, port_id)
        raise
    return Plugged(port_id, bridge, tap, netns, inner, tuple(addresses))


def unplug(port: Resource, *, bridge: str, netns: str | None = None) -> bool:
    """Remove what :func:`plug` made for the port; False if there was nothing.

    Of the port only ``id`` is looked at, so that one that is deleted can be unplugged too. The
    namespace goes as well if plug created it, nothing else is connected to it and nobody runs in
    it. Raises PlugError, with nothing changed, if ``netns`` is given and the port is not there.
    """
    tap = interface_name(str(port["id"]))
    there = _plugged_into(tap)
    if there is None:
        return False
    if netns not in (None, there):
        raise PlugError(f"port {port['id']} is plugged into namespace {there}, not {netns}")
    _remove(tap, there, bridge, str(port["id"]))
    return True


def _plugged_into(tap: str) -> str | None:
    """The namespace that the switch's end ``tap`` was made for; None if it is not there."""
    find = "ovs-vsctl --timeout=10 --format=json --columns=external_ids find Interface"
    rows = json.loads(run(f"{find} name={tap}"))["data"]
    if not rows:
        return None
    external_ids = dict(rows[0][0][1])
    if MARK not in external_ids:
        raise PlugError(
            f"interface {tap} of Open vSwitch was not made by `tenantry plug`: leaving it alone"
        )
    return str(external_ids[MARK])


def _addresses_and_routes(port: Resource, subnets: list[Resource]) -> tuple[list[str], list[str]]:
    """The port's addresses with their prefix lengths; its routes in the words of ``ip route``."""
    by_id = {subnet["id"]: subnet for subnet in subnets}
    addresses: list[str] = []
    routes: dict[str, str] = {}
    for fixed in port["fixed_ips"]:
        subnet = by_id[fixed["subnet_id"]]
        addresses.append(f"{fixed['ip_address']}/{ip_network(subnet['cidr']).prefixlen}")
        gateway = subnet.get("gateway_ip")
        for route in subnet.get("host_routes") or ():
            if gateway is None or ip_network(route["destination"]).prefixlen:
                routes.setdefault(route["destination"], route["nexthop"])
        if gateway and gateway != fixed["ip_address"]:
            routes.setdefault("0.0.0.0/0" if subnet["ip_version"] == 4 else "::/0", gateway)
        service = subnet.get("service_address")
        if service and subnet["ip_version"] == 4:  # as DHCP would tell it
            routes.setdefault("169.254.169.254/32", service)
    return addresses, [f"{destination} via {nexthop}" for destination, nexthop in routes.items()]


def resolv_conf(port: Resource, subnets: list[Resource]) -> str:
    """The text of a resolv.conf(5) that says what DHCP would tell the port: the subnets' resolvers,
    or ours; and in which domain its name is. Empty if there is no resolver."""
    servers: dict[str, None] = {}
    by_id = {subnet["id"]: subnet for subnet in subnets}
    for fixed in port["fixed_ips"]:
        subnet = by_id[fixed["subnet_id"]]
        ours = [subnet["service_address"]] if subnet.get("service_address") else []
        servers |= dict.fromkeys(subnet.get("dns_nameservers") or ours)
    for nobody in ("0.0.0.0", "::"):  # Neutron's words for: none
        servers.pop(nobody, None)
    names = [each["fqdn"].partition(".")[2] for each in port.get("dns_assignment") or ()]
    domains = dict.fromkeys(name.rstrip(".") for name in names if name)
    lines = [f"search {' '.join(domains)}"] if domains else []
    return "".join(f"{line}\n" for line in (*lines, *(f"nameserver {s}" for s in servers)))


def _write_resolvers(netns: str, port_id: str, text: str) -> None:
    """Give a namespace its resolv.conf, unless it has one that we did not make."""
    file = ETC / netns / "resolv.conf"
    try:
        if file.exists() and not file.read_text().startswith(f"# {MARK} "):
            return
        _drop_resolvers(netns)
        if "nameserver" in text:
            for directory in (ETC, file.parent):
                directory.mkdir(mode=0o755, exist_ok=True)
            file.write_text(f"# {MARK} {port_id}\n{text}")
    except OSError as error:
        raise PlugError(f"{file}: {error.strerror}") from None


def _drop_resolvers(netns: str, port_id: str = "") -> None:
    """Take away the resolv.conf that we made for a port, or for any."""
    file = ETC / netns / "resolv.conf"
    with suppress(OSError):
        if file.read_text().startswith(f"# {MARK} {port_id}"):
            file.unlink()
            file.parent.rmdir()  # if it is empty


def _make_netns(netns: str) -> None:
    if any(line.split()[0] == netns for line in run("ip netns list").splitlines() if line):
        return
    run(f"ip netns add {netns}")
    run(f"ip -n {netns} link set lo up alias {MARK}")


def _configure(
    netns: str, inner: str, mac: str, mtu: int, addresses: list[str], routes: list[str]
) -> None:
    """Give the inner end what the port says, and take away what it no longer says."""
    present = {
        f"{info['local']}/{info['prefixlen']}"
        for link in json.loads(run(f"ip -n {netns} -json address show dev {inner}"))
        for info in link.get("addr_info", ())
        if info.get("scope") == "global"
    }
    commands = [f"link set {inner} address {mac} mtu {mtu} up"]
    commands += [f"address del {stale} dev {inner}" for stale in sorted(present - set(addresses))]
    for address in addresses:
        # Neutron guards addresses against duplicates: the kernel need not wait to find some.
        nodad = " nodad" if ip_interface(address).version == 6 else ""
        commands.append(f"address replace {address} dev {inner}{nodad}")
    # onlink: a gateway may lie outside the subnet, and its network may not be up yet.
    commands += [f"route replace {route} dev {inner} onlink" for route in routes]
    run(f"ip -n {netns} -batch -", stdin="\n".join(commands) + "\n")
    # A userspace switch sees the frames before any hardware would fill the checksums in.
    run(f"ip netns exec {netns} ethtool -K {inner} tx off")


def _remove(tap: str, netns: str, bridge: str, port_id: str) -> None:
    """Take away both ends, the resolvers, and the namespace if it is ours and idle; what is missing
    is fine."""
    run(f"ovs-vsctl --timeout=10 --if-exists del-port {bridge} {tap}")
    _delete_link(tap)
    _drop_resolvers(netns, port_id)
    with suppress(PlugError):  # the namespace may be gone already
        aliases = {link["ifname"]: link.get("ifalias") for link in _links(netns)}
        idle = aliases.keys() <= FALLBACK_DEVICES and not run(f"ip netns pids {netns}").strip()
        if aliases["lo"] == MARK and idle:
            run(f"ip netns delete {netns}")


def _links(netns: str | None = None) -> list[dict[str, Any]]:
    """All interfaces, as ``ip -json`` describes them."""
    where = f"-n {netns}" if netns else ""
    links: list[dict[str, Any]] = json.loads(run(f"ip {where} -json link"))
    return links


def _has_link(name: str, netns: str | None = None) -> bool:
    return any(link["ifname"] == name for link in _links(netns))


def _delete_link(name: str) -> None:
    if _has_link(name):
        run(f"ip link delete {name}")


def _silence(interface: str) -> None:
    setting = Path(f"/proc/sys/net/ipv6/conf/{interface}/disable_ipv6")
    if setting.exists():  # not on a kernel without IPv6
        setting.write_text("1")
