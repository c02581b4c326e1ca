# SPDX-License-Identifier: Apache-2.0

"""What may be a certificate here: PEM or PKCS #12 that HAProxy's OpenSSL will take, laid out anew.
RFC 7468 (PEM), RFC 5280 (X.509), RFC 7292 (PKCS #12). Errors: ValueError, in words."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import pkcs12

_KEYS = (
    *(rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey),
    *(ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey),
)
LEAST_BITS = {"RSA": 2048, "EC": 224}
"""OpenSSL's security level 2, which Debian and Ubuntu have: 112 bits."""

_BROKEN = (hashes.MD5, hashes.SHA1)
_PEM = serialization.Encoding.PEM


class Pems(NamedTuple):
    """Texts in PEM, each of these or ""."""

    certificate: str = ""
    private_key: str = ""
    intermediates: str = ""
    crl: str = ""


def read(
    certificate: str = "",
    private_key: str = "",
    intermediates: str = "",
    crl: str = "",
    passphrase: str = "",
) -> Pems:
    """What was given, checked. With a key, the first certificate is its own, and others lead to its
    authority; without, all are authorities'."""
    certificates = _certificates("certificate", certificate)
    more = _certificates("intermediates", intermediates)
    if not certificates and not crl:
        raise ValueError("give a certificate, or a crl")
    if not certificates and (private_key or more):
        raise ValueError("give the certificate that goes with this")
    for one in (*certificates, *more):
        _check(one)
    key = ""
    if private_key:
        own, *others = certificates
        key = _key(private_key, passphrase, own)
        certificates, more = [own], [*others, *more]
    return Pems(_text(certificates), key, _text(more), _crls(crl))


def from_pkcs12(encoded: str, passphrase: str) -> Pems:
    """Of a bundle in base64, as Octavia takes them."""
    try:
        data = base64.b64decode(encoded, validate=True)
        bundle = pkcs12.load_pkcs12(data, passphrase.encode() or None)
    except (binascii.Error, ValueError, UnsupportedAlgorithm):
        raise ValueError(
            "pkcs12 is no bundle in base64, or has another passphrase: `base64 -w 0 FILE`"
        ) from None
    if bundle.cert is None or bundle.key is None:
        raise ValueError("the PKCS #12 bundle has no certificate with its key")
    key = bundle.key.private_bytes(
        _PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    more = _text(one.certificate for one in bundle.additional_certs)
    return read(_text([bundle.cert.certificate]), key.decode(), more)


def _certificates(name: str, text: str) -> list[x509.Certificate]:
    if not text:
        return []
    try:
        return x509.load_pem_x509_certificates(text.encode())
    except ValueError:
        raise ValueError(f"{name} has no certificate in PEM that can be read") from None


def _check(certificate: x509.Certificate) -> None:
    name = certificate.subject.rfc4514_string()
    try:
        key, signed_by = certificate.public_key(), certificate.signature_hash_algorithm
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError(f"the key of {name} is of a kind that TLS does not have") from None
    bits, kind = 0, ""
    if isinstance(key, rsa.RSAPublicKey):
        bits, kind = key.key_size, "RSA"
    elif isinstance(key, ec.EllipticCurvePublicKey):
        bits, kind = key.key_size, "EC"
    elif not isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        raise ValueError(f"the key of {name} is of a kind that TLS does not have")
    if kind and bits < LEAST_BITS[kind]:
        raise ValueError(f"the key of {name} has {bits} bits; OpenSSL wants {LEAST_BITS[kind]}")
    if isinstance(signed_by, _BROKEN) and certificate.subject != certificate.issuer:
        raise ValueError(f"{name} is signed by means of {signed_by.name}, which OpenSSL refuses")


def _key(text: str, passphrase: str, own: x509.Certificate) -> str:
    try:
        key = serialization.load_pem_private_key(
            text.encode(), passphrase.encode() if passphrase else None
        )
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError(
            "private_key is no key in PEM that can be read: one that is encrypted needs its "
            "passphrase, one that is not has none"
        ) from None
    if not isinstance(key, _KEYS) or key.public_key() != own.public_key():
        raise ValueError("private_key is not the key of the (first) certificate")
    return key.private_bytes(
        _PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


_CRL_BEGINS = "-----BEGIN X509 CRL-----"


def _crls(text: str) -> str:
    """One or several, laid out anew."""
    return "".join(crl.public_bytes(_PEM).decode() for crl in crls(text))


def crls(text: str) -> list[x509.CertificateRevocationList]:
    if not text:
        return []
    _, *parts = text.split(_CRL_BEGINS)
    try:
        found = [x509.load_pem_x509_crl((_CRL_BEGINS + part).encode()) for part in parts]
    except ValueError:
        found = []
    if not found:
        raise ValueError("crl has no certificate revocation list in PEM that can be read")
    return found


def _text(certificates: Iterable[x509.Certificate]) -> str:
    return "".join(one.public_bytes(_PEM).decode() for one in certificates)


def facts(pems: Pems) -> dict[str, Any]:
    """What people want to know of it: of the first certificate, or else of the first list of
    revoked ones. Times are UTC, as Neutron writes them."""
    if pems.certificate:
        one = _certificates("certificate", pems.certificate)[0]
        return {
            "subject": one.subject.rfc4514_string(),
            "issuer": one.issuer.rfc4514_string(),
            "names": [*_names(one)],
            "serial_number": f"{one.serial_number:x}",
            "fingerprint": one.fingerprint(hashes.SHA256()).hex(":"),
            "not_before": _time(one.not_valid_before_utc),
            "not_after": _time(one.not_valid_after_utc),
        }
    first = crls(pems.crl)[0]
    until = first.next_update_utc
    return {
        "subject": "",
        "issuer": first.issuer.rfc4514_string(),
        "names": [],
        "serial_number": "",
        "fingerprint": first.fingerprint(hashes.SHA256()).hex(":"),
        "not_before": _time(first.last_update_utc),
        "not_after": _time(until) if until else None,
    }


def _names(certificate: x509.Certificate) -> Iterator[str]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return
    for kind in (x509.DNSName, x509.IPAddress):
        yield from (str(value) for value in found.get_values_for_type(kind))


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
