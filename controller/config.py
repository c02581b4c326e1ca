"""Options: one file, oslo.config, every option with its help. Nothing else reads files or argv.

``tenantry serve`` without a file serves the Open vSwitch of this machine.
"""

from __future__ import annotations

import ipaddress
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from oslo_config import cfg, types

STORE = [
    cfg.StrOpt(
        "url",
        default="sqlite:////var/lib/tenantry/tenantry.db",
        help="Where networks, subnets and ports are kept: an SQLAlchemy URL.",
    ),
]

API = [
    cfg.StrOpt("listen", default="127.0.0.1:9696", help="ADDRESS:PORT of the API."),
    cfg.StrOpt(
        "auth_type",
        default="none",
        choices=[("none", "everybody who reaches the API is its administrator")],
        help="How callers prove who they are.",
    ),
    cfg.StrOpt(
        "default_project",
        default="default",
        help="The project of requests that name none (header X-Project-Id).",
    ),
    cfg.IntOpt(
        "max_body_bytes",
        default=1 << 20,
        min=1 << 10,
        help="Larger requests are refused with 413.",
    ),
]

OPENFLOW = [
    cfg.StrOpt("listen", default="127.0.0.1:6653", help="ADDRESS:PORT that switches connect to."),
    cfg.StrOpt("tls_private_key", default="", help="PEM file; with it, switches must use ssl:."),
    cfg.StrOpt("tls_certificate", default="", help="PEM file of our certificate."),
    cfg.StrOpt(
        "tls_ca_certificates",
        default="",
        help="PEM file of the CA that signs the certificates of switches and OVSDB servers.",
    ),
    cfg.FloatOpt(
        "audit_interval",
        default=120.0,
        min=1.0,
        help="Seconds between comparisons of what a switch holds with what it should hold.",
    ),
    cfg.FloatOpt(
        "engine_audit_interval",
        default=600.0,
        min=1.0,
        help="Seconds between recomputations of all wanted flows from nothing, in the background.",
    ),
    cfg.FloatOpt(
        "coalesce",
        default=0.002,
        min=0.0,
        help="Seconds to wait for more changes before computing flows.",
    ),
]

OVSDB = [
    cfg.ListOpt(
        "connections",
        default=["unix:/var/run/openvswitch/db.sock"],
        help="OVSDB servers of the hosts: unix:PATH, tcp:HOST:PORT or ssl:HOST:PORT.",
    ),
    cfg.StrOpt(
        "listen",
        default="",
        help="ADDRESS:PORT where hosts join (ovs-vsctl set-manager), 0.0.0.0:6640 say; "
        "empty: nowhere. With the TLS files of [openflow], only ssl: is taken. See `tenantry host "
        "invite`.",
    ),
    cfg.StrOpt(
        "integration_bridge",
        default="br-int",
        help="The bridge to make and own on each of them; empty makes none.",
    ),
    cfg.StrOpt(
        "service_port",
        default="tenantry0",
        help="The interface to make on the controller's own host, by which guests reach what the "
        "controller answers in TCP: metadata, DNS. Empty makes none.",
    ),
    cfg.StrOpt(
        "datapath_type",
        default="",
        help="system or netdev for the integration bridge; empty: what the host has.",
    ),
]

NETWORKS = [
    cfg.StrOpt(
        "tenant_network_type",
        default="",
        choices=["", "local", "vlan", "vxlan", "geneve"],
        help="How tenants' networks are carried between hosts: local (not at all), vlan, vxlan or "
        "geneve. Empty: vlan if there are vlan_ranges, else local.",
    ),
    cfg.ListOpt(
        "physical_networks",
        default=[],
        help="Names of the physical networks that may be used; empty allows any.",
    ),
    cfg.ListOpt(
        "vlan_ranges",
        default=[],
        help="VLAN ids for tenants' networks, as PHYSICAL_NETWORK:FIRST:LAST. Without any, "
        "tenants' networks are local to one switch, unless tenant_network_type says otherwise.",
    ),
    cfg.ListOpt(
        "vni_ranges",
        default=["4096:16777215"],
        help="VNIs for VXLAN and Geneve networks for which nobody names one, as FIRST:LAST; both "
        "types use all of them. Others are an administrator's to give.",
    ),
    cfg.IntOpt(
        "overlay_ip_version",
        default=4,
        choices=[4, 6],
        help="The IP version of the ends of tunnels between hosts: the MTU of networks depends on "
        "it.",
    ),
    cfg.DictOpt(
        "physical_interfaces",
        default={},
        help="INTERFACE:PHYSICAL_NETWORK for switches whose OVSDB is not among the connections. "
        "Others carry external_ids:tenantry-physical-network on the interface.",
    ),
    cfg.IntOpt(
        "physical_mtu",
        default=1500,
        min=576,
        max=65535,
        help="The MTU of the wires between hosts; networks get theirs from it.",
    ),
    cfg.Opt(
        "physical_mtus",
        type=types.Dict(types.Integer(576, 65535)),
        default={},
        help="PHYSICAL_NETWORK:MTU of physical networks with another one.",
    ),
    cfg.StrOpt("base_mac", default="fa:16:3e:00:00:00", help="What generated MACs begin with."),
]

OVERLAY = [
    cfg.IntOpt(
        "bfd_interval",
        default=100,
        min=10,
        help="Milliseconds between two messages by which switches watch each other's health, where "
        "routers have several gateways.",
    ),
    cfg.IntOpt(
        "bfd_multiplier",
        default=4,
        min=2,
        max=255,
        help="After so many of them with nothing heard, a gateway is taken for dead.",
    ),
    cfg.StrOpt(
        "ipsec_psk",
        default="",
        secret=True,
        help="A key that all hosts share; with it tunnels are encrypted by IPsec, where "
        "openvswitch-ipsec runs on every host. Empty: they are not.",
    ),
]

DHCP = [
    cfg.IntOpt(
        "lease_seconds",
        default=86400,
        min=120,
        help="For how long addresses are leased; hosts ask again at half of it.",
    ),
    cfg.ListOpt(
        "ntp_servers",
        default=[],
        item_type=types.IPAddress(),
        help="NTP servers, IPv4 and IPv6, that hosts are told of.",
    ),
]

DNS = [
    cfg.StrOpt(
        "domain",
        default="tenantry.internal.",
        help="The domain of names on networks that have no dns_domain of their own.",
    ),
    cfg.ListOpt(
        "resolvers",
        default=[],
        help="ADDRESS or ADDRESS:PORT of the resolvers that are asked what is not on the asking "
        "network; empty: those of this host (/etc/resolv.conf).",
    ),
]

CONNTRACK = [
    cfg.IntOpt(
        "connections_per_port",
        default=16384,
        min=0,
        help=(
            "How many connections may be tracked for each port that is plugged in: the ports of a "
            "network share what they have together, and so do those behind a router. 0: no limit."
        ),
    ),
]

NETWORK_LOG = [
    cfg.StrOpt(
        "file",
        default="/var/lib/tenantry/network.log",
        help="Where the lines of the network log go, as JSON; nowhere if empty.",
    ),
]

GROUPS: Mapping[str, Sequence[cfg.Opt]] = {
    "store": STORE,
    "api": API,
    "openflow": OPENFLOW,
    "conntrack": CONNTRACK,
    "network_log": NETWORK_LOG,
    "ovsdb": OVSDB,
    "networks": NETWORKS,
    "overlay": OVERLAY,
    "dhcp": DHCP,
    "dns": DNS,
}


class ConfigError(Exception):
    """A file or a value that cannot be used; the message says which, and what would be right."""


class Address(NamedTuple):
    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def load(files: list[str]) -> cfg.ConfigOpts:
    """The options from these files, defaults for the rest. Errors: ConfigError."""
    conf = cfg.ConfigOpts()
    for group, options in GROUPS.items():
        conf.register_opts(options, group=group)
    try:
        conf(args=[], project="tenantry", default_config_files=files, default_config_dirs=[])
        for group, options in GROUPS.items():
            for option in options:
                conf[group][option.dest]
    except (cfg.Error, ValueError) as error:
        raise ConfigError(str(error)) from None
    return conf


def address(text: str, option: str) -> Address:
    """``127.0.0.1:9696`` or ``[::1]:9696``. Errors: ConfigError."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise ConfigError(f"{option} = {text}: must be ADDRESS:PORT, like 127.0.0.1:9696")
    return Address(host.strip("[]"), int(port))


def resolvers(texts: list[str]) -> list[Address]:
    """``["192.0.2.1", "[2001:db8::1]:5353"]``; without any, this host's. Errors: ConfigError."""
    found = []
    for text in texts or _host_resolvers():
        bare = text.strip("[]")
        host, port = (bare, "53") if is_address(bare) else text.rpartition(":")[::2]
        if not is_address(host.strip("[]")) or not port.isdecimal() or int(port) > 65535:
            raise ConfigError(f"[dns] resolvers = {text}: must be ADDRESS or ADDRESS:PORT")
        found.append(Address(host.strip("[]"), int(port)))
    return found


def is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _host_resolvers() -> list[str]:
    try:
        lines = Path("/etc/resolv.conf").read_text().splitlines()
    except OSError:
        return []
    words = [line.split() for line in lines]
    named = [line[1] for line in words if len(line) > 1 and line[0] == "nameserver"]
    return [text for text in named if is_address(text)]


def vlan_ranges(texts: list[str]) -> dict[str, list[tuple[int, int]]]:
    """``["physnet1:1000:1999"]`` by physical network. Errors: ConfigError."""
    ranges: dict[str, list[tuple[int, int]]] = {}
    for text in texts:
        name, _, ends = text.partition(":")
        first, last = _ends(ends)
        if not name or not 1 <= first <= last <= 4094:
            raise ConfigError(
                f"[networks] vlan_ranges = {text}: must be PHYSICAL_NETWORK:FIRST:LAST "
                "with 1 <= FIRST <= LAST <= 4094"
            )
        ranges.setdefault(name, []).append((first, last))
    return ranges


def vni_ranges(texts: list[str]) -> list[tuple[int, int]]:
    """``["4096:16777215"]`` as numbers. Errors: ConfigError."""
    ranges = [_ends(text) for text in texts]
    for text, (first, last) in zip(texts, ranges, strict=True):
        if not 1 <= first <= last < 1 << 24:
            raise ConfigError(
                f"[networks] vni_ranges = {text}: must be FIRST:LAST "
                "with 1 <= FIRST <= LAST <= 16777215"
            )
    return ranges


def _ends(text: str) -> tuple[int, int]:
    """``FIRST:LAST``; zeros if it is anything else."""
    try:
        first, last = map(int, text.split(":"))
    except ValueError:
        return 0, 0
    return first, last


def sample() -> str:
    """A configuration file with every option, its default and its help."""
    lines = ["# Tenantry; every line below shows a default."]
    for group, options in GROUPS.items():
        lines += ["", f"[{group}]"]
        for option in options:
            lines += ["", *(f"# {line}" for line in textwrap.wrap(option.help or "", 90))]
            default = option.default
            if isinstance(default, list):
                default = ",".join(default)
            elif isinstance(default, dict):
                default = ",".join(f"{key}:{value}" for key, value in default.items())
            lines.append(f"#{option.name} = {default}".rstrip())
    return "\n".join(lines) + "\n"
