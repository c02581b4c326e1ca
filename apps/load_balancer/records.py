# SPDX-License-Identifier: Apache-2.0

"""Records of load balancers, and what several features want to know of them.

Attributes have Octavia's names in the API and in stored bodies; what is an address here is a
version and a number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from tenantry.controller.model import View, derived, parse
from tenantry.controller.model.model import Indexes
from tenantry.controller.model.record import Body, record, stored
from tenantry.controller.model.values import FixedIp, Prefix

TCP, UDP, SCTP = "TCP", "UDP", "SCTP"
HTTP, HTTPS, TERMINATED_HTTPS, PROMETHEUS = "HTTP", "HTTPS", "TERMINATED_HTTPS", "PROMETHEUS"
PROXY, PROXYV2 = "PROXY", "PROXYV2"
"""Protocols of listeners and pools."""

ROUND_ROBIN, LEAST_CONNECTIONS = "ROUND_ROBIN", "LEAST_CONNECTIONS"
SOURCE_IP, SOURCE_IP_PORT = "SOURCE_IP", "SOURCE_IP_PORT"
"""How a member is chosen; SOURCE_IP is a kind of session persistence, too."""

HTTP_COOKIE, APP_COOKIE = "HTTP_COOKIE", "APP_COOKIE"
"""The other kinds of session persistence."""

TIMEOUTS: Mapping[str, int] = {
    "timeout_client_data": 50_000,
    "timeout_member_connect": 5_000,
    "timeout_member_data": 50_000,
    "timeout_tcp_inspect": 0,
}
"""What a listener's time-outs are if nobody says otherwise, in milliseconds."""

PROXY_STATUS = "proxy_status"
"""What is observed of who is done by a proxy that is not there yet, for ``provisioning_status``."""

UNLIMITED = -1
"""Connections of a listener."""


def _vips(body: Body) -> tuple[FixedIp, ...]:
    first = {"subnet_id": body["vip_subnet_id"], "ip_address": body["vip_address"]}
    return parse.fixed_ips([first, *(body.get("additional_vips") or ())])


def _judges(body: Body) -> bool:
    return bool(body.get("vip_sg_ids") or body.get("vip_qos_policy_id"))


def _headers(asked: Body) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, str(value)) for name, value in asked.items()))


def _version(address: str) -> int:
    return parse.address(address).version


@record
class LoadBalancer:
    """Addresses that stand for whoever answers there."""

    KIND: ClassVar = "loadbalancer"
    INDEXES: ClassVar[Indexes] = (("key",), ("vip_port_id",), ("vip_network_id",), ("project_id",))

    id: str
    key: int  # small, unique among routers' too, permanent: its zones follow from it
    project_id: str
    name: str
    vip_port_id: str  # all vips are its addresses
    vip_network_id: str
    vips: tuple[FixedIp, ...] = stored(of_body=_vips)  # that of vip_address is the first
    admin_state_up: bool
    # vip_sg_ids, vip_qos_policy_id: whether its port judges what goes through a proxy there
    judges: bool = stored(of_body=_judges, default=False)
    failovers: int = 0  # how often somebody has asked for another worker
    provider: str = ""
    flavor_id: str = ""
    availability_zone: str = ""


@record
class Listener:
    """A protocol and a port at which a load balancer answers."""

    KIND: ClassVar = "listener"
    INDEXES: ClassVar[Indexes] = (("key",), ("load_balancer_id",), ("default_pool_id",))

    id: str
    key: int  # small, unique, permanent
    project_id: str
    load_balancer_id: str = stored("loadbalancer_id")
    protocol: str
    port: int = stored("protocol_port")
    admin_state_up: bool
    connection_limit: int  # or UNLIMITED
    # milliseconds
    timeout_client_data: int
    timeout_member_connect: int
    timeout_member_data: int
    timeout_tcp_inspect: int
    default_pool_id: str = ""
    allowed_cidrs: tuple[Prefix, ...] = stored(parse=parse.prefixes, default=())  # (): everybody
    insert_headers: tuple[tuple[str, str], ...] = stored(parse=_headers, default=())  # by name
    # references to certificates
    default_tls_container_ref: str = ""
    sni_container_refs: tuple[str, ...] = stored(parse=tuple, default=())
    client_ca_tls_container_ref: str = ""
    client_crl_container_ref: str = ""
    client_authentication: str = "NONE"  # or "OPTIONAL", "MANDATORY"
    tls_ciphers: str = ""
    tls_versions: tuple[str, ...] = stored(parse=tuple, default=())
    alpn_protocols: tuple[str, ...] = stored(parse=tuple, default=())
    # seconds, or None: not said to clients
    hsts_max_age: int | None = None
    hsts_include_subdomains: bool = False
    hsts_preload: bool = False


def _persistence(name: str) -> Callable[[Body], Any]:
    """An attribute of session_persistence, which may be null."""
    return lambda body: (body.get("session_persistence") or {}).get(name)


@record
class Pool:
    """Members among which one is chosen."""

    KIND: ClassVar = "pool"
    INDEXES: ClassVar[Indexes] = (("key",), ("load_balancer_id",))

    id: str
    key: int  # small, unique, permanent
    project_id: str
    load_balancer_id: str = stored("loadbalancer_id")
    protocol: str
    lb_algorithm: str
    admin_state_up: bool
    # session_persistence: its type, or None; and what goes with it
    persistence: str | None = stored(of_body=_persistence("type"), default=None)
    cookie_name: str | None = stored(of_body=_persistence("cookie_name"), default=None)
    # seconds
    persistence_timeout: int | None = stored(
        of_body=_persistence("persistence_timeout"), default=None
    )
    # a netmask: clients that are one
    persistence_granularity: str | None = stored(
        of_body=_persistence("persistence_granularity"), default=None
    )
    # TLS to the members
    tls_enabled: bool = False
    tls_container_ref: str = ""
    ca_tls_container_ref: str = ""
    crl_container_ref: str = ""
    tls_ciphers: str = ""
    tls_versions: tuple[str, ...] = stored(parse=tuple, default=())
    alpn_protocols: tuple[str, ...] = stored(parse=tuple, default=())


@record
class Member:
    """Who answers."""

    KIND: ClassVar = "member"
    INDEXES: ClassVar[Indexes] = (
        ("key",),
        ("pool_id",),
        ("pool_id", "version"),
        ("version", "address"),
        ("version", "address", "port"),
        ("subnet_id",),
    )

    id: str
    key: int  # small, unique, permanent
    slot: int  # the lowest that was free in its pool, from 0: it stays while others come and go
    project_id: str
    name: str
    pool_id: str
    version: int = stored("address", _version)
    address: int = stored(parse=parse.ip)
    port: int = stored("protocol_port")
    weight: int  # 0: who is there stays, and nobody comes
    backup: bool
    admin_state_up: bool
    subnet_id: str = ""  # where it is, if that is said
    # where the monitor asks, if not at address and port
    monitor_version: int = stored("monitor_address", _version, default=0)
    monitor_address: int = stored(parse=parse.ip, default=0)
    monitor_port: int = 0


@record
class HealthMonitor:
    """How members of a pool are asked whether they are alive."""

    KIND: ClassVar = "healthmonitor"
    INDEXES: ClassVar[Indexes] = (("pool_id",),)

    id: str
    project_id: str
    pool_id: str
    type: str  # "HTTP", "HTTPS", "PING", "SCTP", "TCP", "TLS-HELLO", "UDP-CONNECT"
    delay: int  # seconds, as timeout
    timeout: int
    max_retries: int  # successes in a row until a dead member is alive
    max_retries_down: int  # failures in a row until it is dead
    admin_state_up: bool
    http_method: str = ""
    url_path: str = ""
    expected_codes: str = ""  # "200", "200,202", "200-204"
    http_version: float | None = None
    domain_name: str = ""


@record
class L7Policy:
    """What is done with requests to a listener that all of its rules match."""

    KIND: ClassVar = "l7policy"
    INDEXES: ClassVar[Indexes] = (("listener_id",), ("redirect_pool_id",))

    id: str
    project_id: str
    listener_id: str
    action: str  # "REDIRECT_TO_POOL", "REDIRECT_TO_URL", "REDIRECT_PREFIX", "REJECT"
    position: int  # from 1: the lowest that matches
    admin_state_up: bool
    redirect_pool_id: str = ""
    redirect_url: str = ""
    redirect_prefix: str = ""
    redirect_http_code: int | None = None


@record
class L7Rule:
    """What a request must have."""

    KIND: ClassVar = "l7rule"
    INDEXES: ClassVar[Indexes] = (("l7policy_id",),)

    id: str
    project_id: str
    l7policy_id: str
    type: str  # "COOKIE", "FILE_TYPE", "HEADER", "HOST_NAME", "PATH", "SSL_..."
    compare_type: str  # "CONTAINS", "ENDS_WITH", "EQUAL_TO", "REGEX", "STARTS_WITH"
    value: str
    admin_state_up: bool
    key: str = ""  # of a header or a cookie
    invert: bool = False


@record
class MemberHealth:
    """What the monitor has found out about a member. There is none before it has: a member whom
    nobody has judged counts as alive."""

    INDEXES: ClassVar[Indexes] = ()

    id: str  # the member's
    alive: bool
    reason: str  # "HTTP 503", "refused", "no answer"; "" if nothing is wrong


STORED = (LoadBalancer, Listener, Pool, Member, HealthMonitor, L7Policy, L7Rule)
"""Those whose resources are of the API."""


@derived
def is_alive(view: View, member_id: str) -> bool:
    """Whether no monitor has found a member dead."""
    health = view.get(MemberHealth, member_id)
    return health is None or health.alive


@derived
def in_rotation(view: View, pool_id: str) -> tuple[Member, ...]:
    """Who of a pool gets new connections, by slot: who is up, not dead, and has a weight; and
    backups only where there is nobody else."""
    pool = view.get(Pool, pool_id)
    if pool is None or not pool.admin_state_up:
        return ()
    able = [
        member
        for member in view.find(Member, pool_id=pool_id)
        if member.admin_state_up and member.weight and is_alive(view, member.id)
    ]
    chosen = [member for member in able if not member.backup] or able
    return tuple(sorted(chosen, key=lambda member: member.slot))


@derived
def listeners_of(view: View, load_balancer_id: str) -> tuple[Listener, ...]:
    """The listeners of a load balancer that answer: those that are up, if it is."""
    balancer = view.get(LoadBalancer, load_balancer_id)
    if balancer is None or not balancer.admin_state_up:
        return ()
    found = view.find(Listener, load_balancer_id=load_balancer_id)
    return tuple(listener for listener in found if listener.admin_state_up)


_BY_PORT = (TCP, UDP, SCTP, HTTPS)
"""Protocols of listeners of which a switch need not read more than the port."""


@derived
def in_switch(view: View, listener_id: str) -> bool:
    """Whether the switches do what a listener asks for. All else is done by a proxy."""
    listener = view.get(Listener, listener_id)
    if listener is None or listener.protocol not in _BY_PORT:
        return False
    if listener.protocol in (UDP, SCTP):
        return True  # there is no proxy for these
    pool = view.get(Pool, listener.default_pool_id) if listener.default_pool_id else None
    balancer = view.get(LoadBalancer, listener.load_balancer_id)
    return (
        balancer is not None
        and not balancer.judges
        and listener.connection_limit == UNLIMITED
        and all(getattr(listener, name) == usual for name, usual in TIMEOUTS.items())
        and not view.ids(L7Policy, listener_id=listener_id)
        and (
            pool is None
            or (
                pool.protocol not in (PROXY, PROXYV2)
                and pool.lb_algorithm != LEAST_CONNECTIONS
                and not pool.tls_enabled
                and pool.persistence in (None, SOURCE_IP)
                # Only a proxy speaks another version to members than its clients do.
                and view.distinct(Member, "version", pool_id=pool.id)
                <= {vip.version for vip in balancer.vips}
            )
        )
    )


@derived
def needs_proxy(view: View, load_balancer_id: str) -> bool:
    """Whether a load balancer has a listener that a proxy does."""
    return any(not in_switch(view, each.id) for each in listeners_of(view, load_balancer_id))
