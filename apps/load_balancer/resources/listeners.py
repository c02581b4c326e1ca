# SPDX-License-Identifier: Apache-2.0

"""The API of listeners."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import netaddr

from tenantry.apps.load_balancer.records import (
    HTTP,
    HTTPS,
    PROMETHEUS,
    PROXY,
    PROXYV2,
    SCTP,
    TCP,
    TERMINATED_HTTPS,
    TIMEOUTS,
    UDP,
    UNLIMITED,
)
from tenantry.apps.load_balancer.resources.attributes import (
    COMMON,
    DESCRIPTION,
    MOST,
    REQUIRED,
    SHOWN,
    STANDARD,
    OctaviaHooks,
    Wrong,
    choice,
    cidr,
    declared,
    flag,
    ids,
    number,
    reference,
    spec,
    text,
    texts,
)
from tenantry.apps.load_balancer.resources.errors import (
    DuplicateListenerEntry,
    InvalidOption,
    ListenerNoChildren,
    NotFound,
    invalid,
    unsupported,
)
from tenantry.apps.load_balancer.resources.load_balancers import check_judged
from tenantry.apps.load_balancer.resources.service import OCTAVIA
from tenantry.apps.load_balancer.resources.tls import (
    ALPN,
    CIPHERS,
    VERSIONS,
    check_alpn,
    check_ciphers,
    check_versions,
)
from tenantry.apps.load_balancer.resources.vips import LOAD_BALANCER, check_reachable
from tenantry.apps.load_balancer.statistics import stats
from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import Reader, ResourceSpec
from tenantry.controller.store import Body, Claim, Draft, Link

LISTENER = "listener"
"""The kind, and the role in which its load balancer sees it."""

DEFAULT_OF = "default_of"
"""The role in which a pool sees the listeners whose default it is."""

KEYS = range(1, 1 << 16)

PROTOCOLS = (HTTP, HTTPS, TCP, TERMINATED_HTTPS, UDP, SCTP, PROMETHEUS)

POOLS: Mapping[str, Collection[str]] = {
    TCP: (HTTP, HTTPS, PROXY, PROXYV2, TCP),
    HTTP: (HTTP, PROXY, PROXYV2),
    HTTPS: (HTTPS, PROXY, PROXYV2, TCP),
    TERMINATED_HTTPS: (HTTP, PROXY, PROXYV2),
    UDP: (UDP,),
    SCTP: (SCTP,),
    PROMETHEUS: (),
}
"""The protocols of pools, by that of a listener which may use them."""

HEADERS = ("X-Forwarded-For", "X-Forwarded-Port", "X-Forwarded-Proto")
SSL_HEADERS = (
    *("X-SSL-Client-Verify", "X-SSL-Client-Has-Cert", "X-SSL-Client-DN"),
    *("X-SSL-Client-CN", "X-SSL-Issuer", "X-SSL-Client-SHA1"),
    *("X-SSL-Client-Not-Before", "X-SSL-Client-Not-After"),
)

_TLS = ("default_tls_container_ref", "sni_container_refs", "client_ca_tls_container_ref")
_OF_TLS = {"tls_ciphers": CIPHERS, "tls_versions": VERSIONS, "alpn_protocols": ALPN}
"""What is so where TLS ends, if nobody says otherwise."""

_DAYS_24 = 24 * 24 * 60 * 60 * 1000
_HEADER_VALUE = re.compile(r"[\x20-\x7e]{1,255}")


def transport(protocol: str) -> str:
    """The protocol whose ports a listener takes."""
    return protocol if protocol in (UDP, SCTP) else TCP


class ListenerHooks(OctaviaHooks):
    def project(self, reader: Reader, body: Body) -> str | None:
        return str(_balancer(reader, body)["project_id"])

    def create(self, draft: Draft, context: Context, body: Body) -> None:
        balancer = _balancer(draft, body)
        self._check(draft, balancer, body)

    def update(self, draft: Draft, context: Context, before: Body, body: Body) -> None:
        self._check(draft, _balancer(draft, body), body)

    @staticmethod
    def _check(draft: Draft, balancer: Body, body: Body) -> None:
        if takes_tls(body):
            body |= {name: usual for name, usual in _OF_TLS.items() if body[name] is None}
        _check_tls(body)
        _check_headers(body)
        _check_cidrs(balancer, body)
        _check_switched(body)
        check_judged(balancer, body)
        _check_default(draft, body)

    def delete(self, draft: Draft, context: Context, body: Body) -> None:
        for id in draft.linked(body["id"], "l7policy"):
            policy = draft.get("l7policy", id)
            assert policy is not None  # it links
            self.kinds["l7policy"].delete(draft, context, policy)

    def claims(self, body: Body) -> Iterable[Claim]:
        at = f"{transport(body['protocol'])}/{body['protocol_port']}"
        yield Claim(LISTENER, body["loadbalancer_id"], at)

    def taken(self, claim: Claim, body: Body) -> Exception | None:
        if claim.kind == LISTENER:
            return DuplicateListenerEntry(protocol=body["protocol"], port=body["protocol_port"])
        return None

    def links(self, body: Body) -> Iterable[Link]:
        yield Link(body["loadbalancer_id"], LISTENER)
        if body["default_pool_id"]:
            yield Link(body["default_pool_id"], DEFAULT_OF)

    def present(self, reader: Reader, context: Context, body: Body, shown: Body) -> None:
        super().present(reader, context, body, shown)
        shown["loadbalancers"] = ids([body["loadbalancer_id"]])
        shown["l7policies"] = ids(reader.linked(body["id"], "l7policy"))
        shown["allowed_cidrs"] = body["allowed_cidrs"] or None


def _balancer(reader: Reader, body: Body) -> Body:
    id = body["loadbalancer_id"]
    found = reader.get(LOAD_BALANCER, id)
    if found is None:
        raise NotFound(resource="Load Balancer", id=id)
    return found


def takes_tls(body: Body) -> bool:
    """Whether TLS of clients ends here."""
    protocol = body["protocol"]
    return protocol == TERMINATED_HTTPS or (protocol == PROMETHEUS and any(map(body.get, _TLS)))


def _check_tls(body: Body) -> None:
    protocol = body["protocol"]
    certificate = body["default_tls_container_ref"] or body["sni_container_refs"]
    if protocol in (UDP, SCTP) and (any(map(body.get, _TLS)) or body["insert_headers"]):
        raise invalid(f"{protocol} protocol listener does not support TLS or header insertion.")
    if not takes_tls(body) and any(map(body.get, _TLS)):
        raise invalid(
            f"Certificate container references are not allowed on {protocol} protocol listeners."
        )
    if takes_tls(body) and not certificate:
        with_tls = f"{protocol} with TLS" if protocol == PROMETHEUS else protocol
        raise invalid(
            "An SNI or default certificate container reference must be provided for "
            f"{with_tls} protocol listeners."
        )
    if body["client_authentication"] != "NONE" and not body["client_ca_tls_container_ref"]:
        raise invalid(
            f"Client authentication setting {body['client_authentication']} requires a client CA "
            "container reference."
        )
    if body["client_crl_container_ref"] and not body["client_ca_tls_container_ref"]:
        raise invalid(
            "A client authentication CA reference is required to specify a client authentication "
            "revocation list."
        )
    check_ciphers(body["tls_ciphers"])
    check_versions(body["tls_versions"])
    check_alpn(body["alpn_protocols"])
    said = [name for name in _OF_TLS if body[name] is not None]
    if said and not takes_tls(body):
        raise invalid(
            f"{', '.join(said)}: TLS does not end at {protocol} protocol listeners; leave it out"
        )
    if body["hsts_max_age"] is None and (body["hsts_include_subdomains"] or body["hsts_preload"]):
        raise invalid(
            "HSTS configuration options hsts_include_subdomains and hsts_preload only make sense "
            "if hsts_max_age is set as well."
        )
    if body["hsts_max_age"] is not None and protocol != TERMINATED_HTTPS:
        raise invalid(
            "The HSTS feature can only be used for listeners using the TERMINATED_HTTPS protocol."
        )


def _check_headers(body: Body) -> None:
    headers, protocol = body["insert_headers"], body["protocol"]
    if not headers:
        return
    if protocol not in (HTTP, TERMINATED_HTTPS):
        raise InvalidOption(value="insert-headers", option=f"a {protocol} protocol listener.")
    if unknown := headers.keys() - {*HEADERS, *SSL_HEADERS}:
        raise InvalidOption(value=sorted(unknown), option="insert_headers")
    if protocol == HTTP and (of_tls := headers.keys() & {*SSL_HEADERS}):
        raise InvalidOption(value=sorted(of_tls), option=f"{protocol} protocol listener.")


def _check_cidrs(balancer: Body, body: Body) -> None:
    if body["allowed_cidrs"] and balancer["vip_sg_ids"]:
        raise invalid("Allowed CIDRs are not allowed when using custom VIP Security Groups.")
    vips = [
        balancer["vip_address"],
        *(each["ip_address"] for each in balancer["additional_vips"]),
    ]
    versions = {netaddr.IPAddress(vip).version for vip in vips}
    for each in body["allowed_cidrs"]:
        if netaddr.IPNetwork(each).version not in versions:
            raise invalid(f"CIDR {each} IP version incompatible with all VIPs {vips} IP version.")


MOST_SILENCE = 60_000
"""Milliseconds of silence that a UDP connection is remembered for at least by Open vSwitch
(ovs-vsctl(8), "CT Timeout Policies"); those of SCTP, longer."""

_SILENCE = ("timeout_client_data", "timeout_member_data")
"""How long one may be silent. The other time-outs are of what only streams have."""


def _check_switched(body: Body) -> None:
    """There is no proxy of UDP and SCTP to do what switches cannot."""
    if body["protocol"] not in (UDP, SCTP):
        return
    if not body["connection_limit"]:
        raise unsupported(
            f"connection_limit 0 of a {body['protocol']} listener: to let nobody in, switch it off "
            "by admin_state_up"
        )
    longer = [name for name in _SILENCE if body[name] > MOST_SILENCE]
    if longer:
        raise unsupported(
            f"{', '.join(longer)} of a {body['protocol']} listener: switches forget what has been "
            f"silent for {MOST_SILENCE} ms; ask for no more"
        )


def _check_default(draft: Draft, body: Body) -> None:
    """The default pool is of the same load balancer, and its protocol fits."""
    if not body["default_pool_id"]:
        return
    if body["protocol"] == PROMETHEUS:
        raise ListenerNoChildren(protocol=PROMETHEUS)
    pool = draft.get("pool", body["default_pool_id"])
    if pool is None or pool["loadbalancer_id"] != body["loadbalancer_id"]:
        raise NotFound(resource="Pool", id=body["default_pool_id"])
    check_fits(body["protocol"], pool["protocol"])
    members = (draft.get("member", id) for id in draft.linked(pool["id"], "member"))
    addresses = [member["address"] for member in members if member is not None]
    check_reachable(_balancer(draft, body), body["protocol"], addresses)


def check_fits(listener: str, pool: str) -> None:
    """Whether a listener of a protocol may use pools of another. Errors: Octavia's 400."""
    if pool not in POOLS[listener]:
        raise invalid(
            f"The pool protocol '{pool}' is invalid while the listener protocol is '{listener}'."
        )


def _headers(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise Wrong("insert_headers is an object of texts by name")
    found = {str(name): _text(each) for name, each in value.items()}
    for name, each in found.items():
        if not _HEADER_VALUE.fullmatch(each):
            raise Wrong(f"insert_headers {name}: '{each}' is no text of printable ASCII")
    return found


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _cidrs(values: Any) -> list[str]:
    if not isinstance(values, list):
        raise Wrong("allowed_cidrs is a list of prefixes")
    return list(dict.fromkeys(map(cidr, values)))


SPEC = ResourceSpec(
    name=LISTENER,
    collection="listeners",
    attributes=declared(
        {
            **COMMON,
            **DESCRIPTION,
            "loadbalancer_id": reference(REQUIRED, fixed=True, is_visible=False),
            "loadbalancers": SHOWN,
            "l7policies": SHOWN,
            "protocol": choice(PROTOCOLS, fixed=True),
            "protocol_port": number(1, 65535, fixed=True),
            "connection_limit": number(UNLIMITED, MOST, UNLIMITED),
            "default_pool_id": reference(),
            "default_tls_container_ref": text(None),
            "sni_container_refs": texts([]),
            "insert_headers": spec(_headers, {}, is_filter=False),
            **{name: number(0, _DAYS_24, usual) for name, usual in TIMEOUTS.items()},
            "client_ca_tls_container_ref": text(None),
            "client_authentication": choice(("NONE", "OPTIONAL", "MANDATORY"), "NONE"),
            "client_crl_container_ref": text(None),
            "allowed_cidrs": spec(_cidrs, [], is_filter=False),
            "tls_ciphers": text(None, 2048),
            "tls_versions": texts(None),
            "alpn_protocols": texts(None),
            "hsts_max_age": number(0, MOST, None),
            "hsts_include_subdomains": flag(False),
            "hsts_preload": flag(False),
        }
    ),
    not_found=lambda id: NotFound(resource="Listener", id=id),
    keys=KEYS,
    standard=STANDARD,
    service=OCTAVIA,
    views={"stats": stats("listener/stats")},
)

RULES = {LISTENER: ListenerHooks()}
