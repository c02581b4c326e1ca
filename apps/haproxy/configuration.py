# SPDX-License-Identifier: Apache-2.0

"""The configuration of one load balancer's HAProxy, as text: a pure function of its records. See
HAProxy's Configuration Manual, version 2.6.

A listener is a frontend. A pool is a backend once for each listener that may send it requests, as
time-outs and headers are the listener's. A member is a server, dead or alive as the model says: the
switches, the API and the proxy go by the same judgement, a member is asked by one monitor, and a
proxy that has just started knows who is dead.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tenantry.apps.haproxy.quoting import fetch
from tenantry.apps.haproxy.rules import backend_name, policies, policy_lines
from tenantry.apps.haproxy.tls import bind_tls, server_tls
from tenantry.apps.load_balancer.records import (
    APP_COOKIE,
    HTTP,
    HTTP_COOKIE,
    LEAST_CONNECTIONS,
    PROMETHEUS,
    PROXY,
    PROXYV2,
    ROUND_ROBIN,
    SOURCE_IP,
    SOURCE_IP_PORT,
    TERMINATED_HTTPS,
    Listener,
    LoadBalancer,
    Member,
    Pool,
    in_switch,
    is_alive,
    listeners_of,
)
from tenantry.controller.model import View, parse
from tenantry.controller.network.dns_names import address_text

SOCKET = "haproxy.sock"
"""What is asked of a running proxy, and told to it, beside the configuration file."""

DESCRIPTORS = 200_000
"""That one proxy may have open at most: two a connection. It is raised for a listener whose limit
of connections asks for more."""

_PORT = "sess.port"
"""The variable in which a connection's own port is."""

_BALANCE = {
    ROUND_ROBIN: "roundrobin",
    LEAST_CONNECTIONS: "leastconn",
    SOURCE_IP: "source",
    SOURCE_IP_PORT: f"hash src,concat(:,{_PORT})",
}

_PEERS = "tables"
"""Where a proxy that is replaced tells its successor which client has which member."""

_STICKY = 10_000
"""Clients of a pool of which it is kept, as in Octavia."""

_ALWAYS = "true"
_HEADERS = {
    "X-Forwarded-Port": "%[dst_port]",
    "X-Forwarded-IP": "%[src]",
    "X-Client-IP": "%[src]",
    "X-Real-IP": "%[src]",
}
_TLS_HEADERS = {
    "X-SSL-Client-Verify": "%[ssl_c_verify]",
    "X-SSL-Client-Has-Cert": "%[ssl_c_used]",
    "X-SSL-Client-DN": "%{+Q}[ssl_c_s_dn]",
    "X-SSL-Client-CN": "%{+Q}[ssl_c_s_dn(cn)]",
    "X-SSL-Issuer": "%{+Q}[ssl_c_i_dn]",
    "X-SSL-Client-SHA1": "%{+Q}[ssl_c_sha1,hex]",
    "X-SSL-Client-Not-Before": "%{+Q}[ssl_c_notbefore]",
    "X-SSL-Client-Not-After": "%{+Q}[ssl_c_notafter]",
}


def proxied(view: View, load_balancer_id: str) -> list[Listener]:
    """The listeners that a proxy does."""
    found = listeners_of(view, load_balancer_id)
    return sorted(
        (one for one in found if not in_switch(view, one.id)), key=lambda one: (one.port, one.id)
    )


def pools_of(view: View, listener: Listener) -> list[Pool]:
    """The pools that requests to a listener may go to."""
    ids = {one.redirect_pool_id for one in policies(view, listener) if one.redirect_pool_id}
    found = (view.get(Pool, id) for id in sorted(ids | {listener.default_pool_id} - {""}))
    return [pool for pool in found if pool is not None and pool.admin_state_up]


def configuration(view: View, load_balancer_id: str, threads: int = 0) -> str:
    """``threads`` of the process: 0 is HAProxy's choice, one for each processor."""
    balancer = view.get(LoadBalancer, load_balancer_id)
    assert balancer is not None
    listeners = proxied(view, load_balancer_id)
    sections = [_global(listeners, threads), _DEFAULTS, _TABLES]
    for listener in listeners:
        sections.append(_frontend(view, balancer, listener))
        sections += (_backend(view, listener, pool) for pool in pools_of(view, listener))
    return "\n".join(line for section in sections for line in _indented(section))


def _indented(section: Iterable[str]) -> Iterator[str]:
    first, *lines = section
    yield first
    yield from (f"    {line}" for line in lines)
    yield ""


def _global(listeners: list[Listener], threads: int) -> Iterator[str]:
    yield "global"
    yield "user haproxy"
    yield "group haproxy"
    yield "chroot /var/lib/haproxy"
    yield f"stats socket unix@{SOCKET} mode 600 level admin expose-fd listeners"
    yield f"localpeer {_PEERS}"
    yield "tune.ssl.default-dh-param 2048"
    asked = sum(one.connection_limit for one in listeners if one.connection_limit > 0)
    yield f"fd-hard-limit {max(DESCRIPTORS, 2 * asked + 1000)}"
    if threads:
        yield f"nbthread {threads}"


_TABLES = (f"peers {_PEERS}", "bind 127.0.0.1:10000", f"server {_PEERS}")

_DEFAULTS = (
    "defaults",
    "no log",
    "retries 3",
    "option redispatch",
    "option allbackups",
    "option splice-request",
    "option splice-response",
    "hash-type consistent",
)


def is_http(listener: Listener) -> bool:
    return listener.protocol in (HTTP, TERMINATED_HTTPS, PROMETHEUS)


def _frontend(view: View, balancer: LoadBalancer, listener: Listener) -> Iterator[str]:
    yield f"frontend {listener.id}"
    yield f"mode {'http' if is_http(listener) else 'tcp'}"
    tls = bind_tls(listener)
    for vip in balancer.vips:
        yield f"bind [{address_text(vip.version, vip.address)}]:{listener.port}{tls}"
    if listener.connection_limit > 0:
        yield f"maxconn {listener.connection_limit}"
    yield f"timeout client {listener.timeout_client_data}"
    if is_http(listener):
        # Who sends a request drop by drop is no less idle than who sends nothing.
        yield f"timeout http-request {listener.timeout_client_data}"
        # Nor is an idle connection closed under its next request, when another proxy takes over.
        yield "option idle-close-on-response"
    if listener.timeout_tcp_inspect:
        yield f"tcp-request inspect-delay {listener.timeout_tcp_inspect}"
    if listener.allowed_cidrs:
        for allowed in listener.allowed_cidrs:
            prefix = f"{address_text(allowed.version, allowed.first)}/{allowed.length}"
            yield f"acl allowed src -- {prefix}"
        yield "tcp-request connection reject unless allowed"
    pools = pools_of(view, listener)
    if any(pool.lb_algorithm == SOURCE_IP_PORT for pool in pools):
        yield f"tcp-request connection set-var({_PORT}) src_port"
    if listener.protocol == PROMETHEUS:
        yield "http-request use-service prometheus-exporter if { path /metrics }"
        yield "http-request return status 404"
        return
    if is_http(listener):
        if listener.protocol == TERMINATED_HTTPS and listener.hsts_max_age is not None:
            yield f"http-after-response set-header Strict-Transport-Security {_hsts(listener)}"
        yield from policy_lines(view, listener)
    pool = view.get(Pool, listener.default_pool_id)
    if pool is not None and pool.admin_state_up:
        yield f"default_backend {backend_name(pool.id, listener)}"


def _hsts(listener: Listener) -> str:
    """RFC 6797, 6.1."""
    directives = [f"max-age={listener.hsts_max_age}"]
    directives += ["includeSubDomains"] if listener.hsts_include_subdomains else []
    directives += ["preload"] if listener.hsts_preload else []
    return f'"{"; ".join(directives)}"'


def _backend(view: View, listener: Listener, pool: Pool) -> Iterator[str]:
    yield f"backend {backend_name(pool.id, listener)}"
    yield f"mode {'http' if is_http(listener) else 'tcp'}"
    yield f"balance {_BALANCE[pool.lb_algorithm]}"
    yield f"timeout connect {listener.timeout_member_connect}"
    yield f"timeout server {listener.timeout_member_data}"
    if is_http(listener):
        yield from _headers(listener)
    yield from _persistence(pool)
    members = sorted(view.find(Member, pool_id=pool.id), key=lambda member: member.slot)
    for member in members:
        yield _server(view, listener, pool, member)


def _headers(listener: Listener) -> Iterator[str]:
    wanted = {name for name, value in listener.insert_headers if value.lower() == _ALWAYS}
    is_tls = listener.protocol == TERMINATED_HTTPS
    if "X-Forwarded-For" in wanted:
        yield "option forwardfor"
    if "X-Forwarded-Proto" in wanted:
        yield f"http-request set-header X-Forwarded-Proto {'https' if is_tls else 'http'}"
    for name, value in {**_HEADERS, **(_TLS_HEADERS if is_tls else {})}.items():
        if name in wanted:
            yield f"http-request set-header {name} {value}"


def _persistence(pool: Pool) -> Iterator[str]:
    expire = f" expire {pool.persistence_timeout}s" if pool.persistence_timeout else ""
    table = f"size {_STICKY}{expire} peers {_PEERS}"
    if pool.persistence == SOURCE_IP:
        yield f"stick-table type ipv6 {table}"
        yield f"stick on src{_mask(pool)}"
    elif pool.persistence == HTTP_COOKIE:
        yield "cookie SRV insert indirect nocache"
    elif pool.persistence == APP_COOKIE and pool.cookie_name:
        yield f"stick-table type string len 64 {table}"
        yield f"stick store-response {fetch('res.cook', pool.cookie_name)}"
        yield f"stick match {fetch('req.cook', pool.cookie_name)}"


def _mask(pool: Pool) -> str:
    """Clients that are one."""
    if not pool.persistence_granularity:
        return ""
    mask = parse.address(pool.persistence_granularity)
    text = address_text(*mask)
    return f",ipmask({text})" if mask.version == 4 else f",ipmask(32,{text})"


def _server(view: View, listener: Listener, pool: Pool, member: Member) -> str:
    """Its name is the member's id, so that a client keeps it over changes; its number is the slot,
    by which a source's hash finds it whoever else comes and goes."""
    address = address_text(member.version, member.address)
    words = [f"server {member.id} [{address}]:{member.port}"]
    words.append(f"id {member.slot + 1} weight {member.weight}")
    if pool.persistence == HTTP_COOKIE and is_http(listener):
        words.append(f"cookie {member.id}")
    if pool.protocol == PROXY:
        words.append("send-proxy")
    elif pool.protocol == PROXYV2:
        words.append(
            "send-proxy-v2-ssl-cn" if listener.protocol == TERMINATED_HTTPS else "send-proxy-v2"
        )
    if member.backup:
        words.append("backup")
    if not member.admin_state_up or not is_alive(view, member.id):
        words.append("disabled")
    return " ".join(words) + server_tls(pool)
