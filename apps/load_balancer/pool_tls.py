# SPDX-License-Identifier: Apache-2.0

"""What may be said of TLS: ciphers, versions, and the protocols behind it, of listeners and of
pools. What they are unasked is Octavia's choice."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tenantry.apps.load_balancer.values import Spec, bad, flag, spec, text, texts

VERSIONS = ("SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
ALPN = ("h2", "http/1.1", "http/1.0")

DEFAULT_VERSIONS = VERSIONS[-2:]
DEFAULT_CIPHERS = (
    "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:"
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:"
    "DHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-GCM-SHA384:DHE-RSA-CHACHA20-POLY1305"
)
"""OWASP's suite B."""

USUAL: Mapping[str, Any] = {
    "tls_ciphers": DEFAULT_CIPHERS,
    "tls_versions": [*DEFAULT_VERSIONS],
    "alpn_protocols": [*ALPN],
}
"""What is meant where TLS is, and nothing is said of these."""

_CIPHERS = re.compile(r"[A-Za-z0-9\-+!:@=_.]{1,2048}")


def _ciphers(value: Any) -> str:
    if not isinstance(value, str) or not _CIPHERS.fullmatch(value):
        raise bad(f"'{value}' is no list of ciphers: names and operators, with colons between")
    return value


def _some(words: str, allowed: tuple[str, ...]) -> Spec:
    def read(value: Any) -> Any:
        if value == []:
            raise bad(f"name at least one {words}, or leave it out")
        return listed["convert_to"](value)

    listed = texts(None, allowed)
    return spec(read, None)


ATTRIBUTES: Mapping[str, Spec] = {
    "tls_ciphers": spec(_ciphers, None),
    "tls_versions": _some("TLS version", VERSIONS),
    "alpn_protocols": _some("ALPN protocol", ALPN),
}
"""Of listeners and pools."""

POOL_ATTRIBUTES: Mapping[str, Spec] = {
    "tls_enabled": flag(False),
    "tls_container_ref": text(None),
    "ca_tls_container_ref": text(None),
    "crl_container_ref": text(None),
    **ATTRIBUTES,
}
"""How a pool's members are spoken to by TLS: with which certificate of ours, and who signs
theirs."""
