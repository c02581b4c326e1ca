# SPDX-License-Identifier: Apache-2.0

"""What may be said of TLS, of listeners and of pools alike."""

from __future__ import annotations

import re
import ssl
from typing import Any

from tenantry.apps.load_balancer.resources.errors import invalid, unsupported

VERSIONS = ["TLSv1.2", "TLSv1.3"]
ALPN = ["h2", "http/1.1", "http/1.0"]
CIPHERS = ":".join(
    (
        *("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"),
        *("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256"),
        *("ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384"),
        *("ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305"),
        *("DHE-RSA-AES128-GCM-SHA256", "DHE-RSA-AES256-GCM-SHA384"),
        "DHE-RSA-CHACHA20-POLY1305",
    )
)
"""What is so if nobody says otherwise: Octavia's defaults (OWASP's suite B)."""

_KNOWN = ("SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
_CIPHERS = re.compile(r"[A-Za-z0-9\-+!:@=_.]+")


def check_versions(versions: Any) -> None:
    if versions is None:
        return
    if not isinstance(versions, list) or not versions:
        raise invalid(
            "Empty TLS version list. Either specify at least one TLS version or remove this "
            "parameter to use the default."
        )
    if wrong := [version for version in versions if version not in _KNOWN]:
        raise invalid(f"Invalid TLS versions: {', '.join(map(str, wrong))}")
    if "SSLv3" in versions:
        raise unsupported("SSLv3: no proxy speaks it any more; say TLSv1.2 or TLSv1.3")


def check_alpn(protocols: Any) -> None:
    if protocols is None:
        return
    if not isinstance(protocols, list) or not protocols:
        raise invalid(
            "Empty ALPN protocol list. Either specify at least one ALPN protocol or remove this "
            "parameter to use the default."
        )
    if wrong := [protocol for protocol in protocols if protocol not in ALPN]:
        raise invalid(f"Invalid ALPN protocol: {', '.join(map(str, wrong))}")


def check_ciphers(ciphers: str | None) -> None:
    if ciphers and not _CIPHERS.fullmatch(ciphers):
        raise invalid(
            "Invalid characters in cipher string. Only alphanumeric, -, +, !, :, @, =, _, and . "
            "are allowed."
        )
    if ciphers:
        older = [name for name in ciphers.split(":") if not name.startswith("TLS_")]
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).set_ciphers(":".join(older) or "DEFAULT")
        except ssl.SSLError:
            raise invalid(f"OpenSSL knows none of the ciphers {':'.join(older)}") from None
