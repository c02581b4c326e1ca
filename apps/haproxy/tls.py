# SPDX-License-Identifier: Apache-2.0

"""TLS of listeners and to members: what HAProxy is told of it, and the files that are named."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tenantry.apps.certificates.records import certificate_id
from tenantry.apps.haproxy.quoting import word
from tenantry.apps.load_balancer.records import PROMETHEUS, TERMINATED_HTTPS, Listener, Pool

_VERSIONS = ("SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
_NAMES = ("SSLv3", "TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3")
"""As Octavia has them, and as HAProxy has them."""

_WEAK = 3
"""Versions before this one are offered only if OpenSSL is told to be less strict."""

OF_TLS_1_3 = frozenset(
    {
        "TLS_AES_256_GCM_SHA384",
        "TLS_CHACHA20_POLY1305_SHA256",
        "TLS_AES_128_GCM_SHA256",
        "TLS_AES_128_CCM_8_SHA256",
        "TLS_AES_128_CCM_SHA256",
    }
)
"""Cipher suites (RFC 8446, B.4), of which OpenSSL has a list of its own."""

SHOWN, AUTHORITY, REVOKED = "shown", "authority", "revoked"


class CertificateFile(NamedTuple):
    """A file beside the configuration: a certificate that is ``shown``, with all that leads to its
    authority and its key; one whose signature is good (``authority``); or a list of those whose
    isn't any more (``revoked``)."""

    certificate_id: str
    use: str

    @property
    def name(self) -> str:
        return f"{self.certificate_id}.{self.use}.pem"


def certificate_files(listener: Listener, pools: Sequence[Pool]) -> Iterator[CertificateFile]:
    """The files that the configuration of a listener names."""
    if _is_tls(listener):
        for reference in (listener.default_tls_container_ref, *listener.sni_container_refs):
            yield from _file(reference, SHOWN)
        if _verify(listener) != "none":
            yield from _file(listener.client_ca_tls_container_ref, AUTHORITY)
            yield from _file(listener.client_crl_container_ref, REVOKED)
    for pool in pools:
        if pool.tls_enabled:
            yield from _file(pool.tls_container_ref, SHOWN)
            yield from _file(pool.ca_tls_container_ref, AUTHORITY)
            if pool.ca_tls_container_ref:
                yield from _file(pool.crl_container_ref, REVOKED)


def _file(reference: str, use: str) -> Iterator[CertificateFile]:
    if reference:
        yield CertificateFile(certificate_id(reference), use)


def _named(keyword: str, reference: str, use: str) -> Iterator[str]:
    for file in _file(reference, use):
        yield f"{keyword} {word(file.name)}"


def _is_tls(listener: Listener) -> bool:
    has_any = bool(listener.default_tls_container_ref or listener.sni_container_refs)
    return listener.protocol == TERMINATED_HTTPS or (listener.protocol == PROMETHEUS and has_any)


def _verify(listener: Listener) -> str:
    if not listener.client_ca_tls_container_ref:
        return "none"
    return {"OPTIONAL": "optional", "MANDATORY": "required"}.get(
        listener.client_authentication, "none"
    )


def bind_tls(listener: Listener) -> str:
    """The words behind a ``bind``. The first certificate is for whoever names no server, or one
    that no other is of."""
    if not _is_tls(listener):
        return ""
    words = ["ssl"]
    for reference in (listener.default_tls_container_ref, *listener.sni_container_refs):
        words += _named("crt", reference, SHOWN)
    verify = _verify(listener)
    if verify != "none":
        words += _named("ca-file", listener.client_ca_tls_container_ref, AUTHORITY)
        words.append(f"verify {verify}")
        words += _named("crl-file", listener.client_crl_container_ref, REVOKED)
    words += _offered(listener.tls_versions, listener.tls_ciphers, listener.alpn_protocols)
    return " " + " ".join(words)


def server_tls(pool: Pool) -> str:
    """The words behind a ``server``. Members show a certificate of the authority that is named; if
    none is, any. They are asked for the name that the client has asked for."""
    if not pool.tls_enabled:
        return ""
    words = ["ssl", "sni ssl_fc_sni", *_named("crt", pool.tls_container_ref, SHOWN)]
    if pool.ca_tls_container_ref:
        words += ["verify required", *_named("ca-file", pool.ca_tls_container_ref, AUTHORITY)]
        words += _named("crl-file", pool.crl_container_ref, REVOKED)
    else:
        words.append("verify none")
    words += _offered(pool.tls_versions, pool.tls_ciphers, pool.alpn_protocols)
    return " " + " ".join(words)


def _offered(versions: Sequence[str], ciphers: str, protocols: Sequence[str]) -> Iterator[str]:
    known = sorted(_VERSIONS.index(one) for one in versions if one in _VERSIONS)
    asked = [one for one in ciphers.split(":") if one]
    older = [one for one in asked if one not in OF_TLS_1_3]
    if known:
        yield f"ssl-min-ver {_NAMES[known[0]]} ssl-max-ver {_NAMES[known[-1]]}"
        if known[0] < _WEAK:
            older = [*(older or ["DEFAULT"]), "@SECLEVEL=0"]
    if older:
        yield f"ciphers {word(':'.join(older))}"
    suites = [one for one in asked if one in OF_TLS_1_3]
    if suites:
        yield f"ciphersuites {word(':'.join(suites))}"
    if protocols:
        yield f"alpn {word(','.join(protocols))}"
