# SPDX-License-Identifier: Apache-2.0

"""Options: one file, oslo.config, every option with its help. Nothing else reads files or argv.

Here are the core's own. Features bring theirs (``App.options``), in sections of their own or beside
others; whoever meets the list of features hands them in.

``tenantry serve`` without a file serves the Open vSwitch of this machine.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from oslo_config import cfg, types

from tenantry.controller.config import parsing
from tenantry.controller.config.nearest import did_you_mean
from tenantry.controller.config.values import (
    Address,
    ConfigError,
    address,
    base_mac,
    connection,
    domain,
    interface,
    is_address,
    resolvers,
)
from tenantry.controller.config.worker import WORKER

__all__ = [
    "Address",
    "ConfigError",
    "address",
    "did_you_mean",
    "is_address",
    "load",
    "resolvers",
    "sample",
]
__all__ += ["Options"]

Options: TypeAlias = Mapping[str, Sequence[cfg.Opt]]
"""Options by section."""

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
        choices=[
            ("none", "everybody who reaches the API is its administrator"),
            ("basic", "accounts with passwords, in a file"),
            ("keystone", "tokens of an OpenStack Keystone"),
        ],
        help="How callers prove who they are: none (everybody who reaches the API is its "
        "administrator), basic (passwords, see `tenantry account`) or keystone (tokens, see "
        "[keystone_authtoken]).",
    ),
    cfg.StrOpt(
        "accounts",
        default="/var/lib/tenantry/accounts",
        help="The file of accounts for auth_type = basic.",
    ),
    cfg.StrOpt(
        "default_project",
        default="default",
        help="With auth_type = none, the project of requests that name none (header X-Project-Id).",
    ),
    cfg.StrOpt(
        "tls_certificate",
        default="",
        help="PEM file of our certificate, and of those between it and its authority; with it, the "
        "API is https://. Read again when it changes.",
    ),
    cfg.StrOpt("tls_private_key", default="", help="PEM file of the key of that certificate."),
    cfg.StrOpt(
        "tls_ca_certificates",
        default="",
        help="PEM file; with it, clients must show a certificate of one of these authorities.",
    ),
]

KEYSTONE = [
    cfg.StrOpt("auth_url", default="", help="The URL of Keystone, like http://127.0.0.1:5000/v3."),
    cfg.StrOpt(
        "www_authenticate_uri",
        default="",
        help="The URL of Keystone that clients are told; empty: auth_url.",
    ),
    cfg.StrOpt(
        "auth_type",
        default="password",
        choices=["password", "v3applicationcredential"],
        help="How we prove to Keystone who we are: password or v3applicationcredential.",
    ),
    cfg.StrOpt("username", default="", help="Our own user, with the role service or admin."),
    cfg.StrOpt("password", default="", secret=True, help="Our own password."),
    cfg.StrOpt("user_domain_name", default="Default", help="The domain of our user."),
    cfg.StrOpt("project_name", default="service", help="The project of our user."),
    cfg.StrOpt("project_domain_name", default="Default", help="The domain of that project."),
    cfg.StrOpt("application_credential_id", default="", help="Instead of a password."),
    cfg.StrOpt("application_credential_secret", default="", secret=True, help="Goes with it."),
    cfg.StrOpt("region_name", default="", help="The region of Keystone, if there are several."),
    cfg.StrOpt(
        "interface",
        default="internal",
        choices=["internal", "public", "admin"],
        help="By which of its endpoints we ask Keystone: internal, public or admin.",
    ),
    cfg.StrOpt("cafile", default="", help="PEM file of the authority of Keystone's certificate."),
    cfg.BoolOpt("insecure", default=False, help="Whether any certificate of Keystone's will do."),
    cfg.IntOpt(
        "http_connect_timeout",
        default=10,
        min=1,
        help="Seconds that Keystone may take to answer; then callers get 503.",
    ),
    cfg.IntOpt(
        "http_request_max_retries",
        default=1,
        min=0,
        help="How often we try again when Keystone cannot be reached.",
    ),
    cfg.IntOpt(
        "token_cache_time",
        default=60,
        min=0,
        help="Seconds for which a token is not asked about again. For so long, one that was "
        "revoked is still let in.",
    ),
    cfg.ListOpt(
        "service_token_roles",
        default=["service"],
        help="The roles of those whose service tokens (X-Service-Token) count.",
    ),
    cfg.BoolOpt(
        "service_token_roles_required",
        default=True,
        help="Whether a service token must have one of those roles.",
    ),
    cfg.StrOpt(
        "service_type",
        default="network",
        help="What we are called in the catalogue, for access rules of application credentials.",
    ),
]

POLICY = [
    cfg.StrOpt(
        "policy_file",
        default="",
        help="A YAML file of your own policies, NAME: CHECK; they count before the built-in ones "
        "(`tenantry policy list`). It is read again when it changes. Empty: none.",
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
        default=32768,
        min=0,
        help=(
            "How many connections a port may begin in a minute, half of them at once; and twice "
            "as many may begin with it from elsewhere. What a network, or a set of routers, holds "
            "together on the controller's own host is limited to four times that for each port "
            "plugged in. 0: no limit."
        ),
    ),
]

METRICS = [
    cfg.StrOpt(
        "traffic",
        default="ports",
        choices=["off", "networks", "ports"],
        help="What /metrics tells of packets, octets and drops: off (nothing), networks (of each "
        "network) or ports (of each port, too).",
    ),
    cfg.IntOpt(
        "most_ports",
        default=2000,
        min=0,
        help="Of how many ports /metrics tells that; if there are more, the log says so.",
    ),
    cfg.FloatOpt(
        "kept",
        default=5.0,
        min=0.0,
        help="Seconds for which what switches have counted is not read again for /metrics.",
    ),
]

CORE: Options = {
    "store": STORE,
    "api": API,
    "keystone_authtoken": KEYSTONE,
    "oslo_policy": POLICY,
    "openflow": OPENFLOW,
    "conntrack": CONNTRACK,
    "ovsdb": OVSDB,
    "networks": NETWORKS,
    "dns": DNS,
    "metrics": METRICS,
    "worker": WORKER,
}


def together(features: Iterable[Options]) -> Options:
    """The core's options and those of features, by section. Errors: ValueError if two have one
    name."""
    groups = {group: [*options] for group, options in CORE.items()}
    for feature in features:
        for group, options in feature.items():
            there = groups.setdefault(group, [])
            for option in options:
                if option.dest in (each.dest for each in there):
                    raise ValueError(f"there are two options [{group}] {option.name}")
                there.append(option)
    return groups


def load(files: Sequence[str], features: Iterable[Options]) -> cfg.ConfigOpts:
    """The options from these files, defaults for the rest. Errors: ConfigError, for what is no
    option, too."""
    groups = together(features)
    given = parsing.read(files, groups)
    conf = cfg.ConfigOpts()
    for group, options in groups.items():
        conf.register_opts(options, group=group)
    conf(
        args=[],
        project="tenantry",
        default_config_files=[*files],
        default_config_dirs=[],
        use_env=False,
    )
    for group, options in groups.items():
        for option in options:
            try:
                value = conf[group][option.dest]
            except (cfg.Error, ValueError):
                value = None
            if value is None or value in (_INFINITE, -_INFINITE) or value != value:
                text = given.get((group, option.dest), "")
                raise ConfigError(
                    f"[{group}] {option.name} = {text}: must be {parsing.form(option.type)}"
                ) from None
    _check(conf)
    return conf


_INFINITE = float("inf")


def _check(conf: cfg.ConfigOpts) -> None:
    """Look at what oslo.config takes for text. Errors: ConfigError."""
    address(conf.api.listen, "[api] listen")
    address(conf.openflow.listen, "[openflow] listen")
    if conf.ovsdb.listen:
        address(conf.ovsdb.listen, "[ovsdb] listen")
    for text in conf.ovsdb.connections:
        connection(text, "[ovsdb] connections")
    for name in ("integration_bridge", "service_port"):
        interface(conf.ovsdb[name], f"[ovsdb] {name}")
    base_mac(conf.networks.base_mac, "[networks] base_mac")
    resolvers(conf.dns.resolvers)
    domain(conf.dns.domain, "[dns] domain")


def sample(features: Iterable[Options]) -> str:
    """A configuration file with every option, its default and its help."""
    lines = ["# Tenantry; every line below shows a default."]
    for group, options in together(features).items():
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
