# SPDX-License-Identifier: Apache-2.0

"""The certificate authority of one installation: a directory with a few PEM files.

Owns who is let in by TLS: the authority's key and certificate, the controller's, and what a host
is given. It keeps no list of hosts and none of their keys, so a host that has lost its own is
simply given another. There is no revocation: a new authority shuts out all who had the old one's.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import re
import tempfile
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DIRECTORY = "/var/lib/tenantry/ca"
DAYS, AUTHORITY_DAYS = 730, 3650
#: A new host's clock may be slow; it must not find its certificate to be of the future.
CLOCK_SKEW = timedelta(hours=1)

AUTHORITY_KEY, AUTHORITY = "ca.key", "ca.pem"
CONTROLLER_KEY, CONTROLLER = "controller.key", "controller.pem"

LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
#: 64 characters are what a certificate has room for.
HOST_NAME = re.compile(rf"(?=.{{1,64}}\Z){LABEL}(\.{LABEL})*")


class CertificateError(Exception):
    """It cannot be done; the text says why and what to do. Nothing was changed."""


class Issued(NamedTuple):
    """What a host needs to be let in, and to know the controller, as PEM."""

    private_key: str
    certificate: str
    ca_certificates: str


def create(directory: Path, addresses: Sequence[str], days: int = DAYS) -> None:
    """Make an authority, and a certificate for the controller at these addresses and names.

    Errors: CertificateError, as when there is an authority already.
    """
    names = _alternative_names(addresses)
    key, controller_key = _new_key(), _new_key()
    authority = _Authority(key, _subject("Tenantry CA"))
    files = {
        AUTHORITY_KEY: _pem(key),
        AUTHORITY: authority.certify_itself(),
        CONTROLLER_KEY: _pem(controller_key),
        CONTROLLER: authority.certify_controller(controller_key.public_key(), names, days),
    }
    making = ""
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        # Made beside its place, with mode 0700, and moved there whole: there is never half an
        # authority, and the move fails if anything is there but an empty directory.
        with tempfile.TemporaryDirectory(
            prefix=f".{directory.name}-", dir=directory.parent, ignore_cleanup_errors=True
        ) as making:
            for name, pem in files.items():
                _write(Path(making, name), pem)
            os.rename(making, directory)
    except OSError as error:
        if making and error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise CertificateError(
                f"{directory} is there already and is not overwritten: hosts would no longer be "
                "let in. `tenantry ca renew` makes a new certificate for the controller; to begin "
                "anew, move the directory away, and invite every host again"
            ) from None
        raise CertificateError(
            f"cannot make {directory}: {error.strerror}; run this as root, or name another "
            "--directory"
        ) from None


def renew(directory: Path, addresses: Sequence[str] = (), days: int = DAYS) -> list[str]:
    """Certify the controller anew; its addresses and names, the former ones if none are given.

    Errors: CertificateError.
    """
    authority, _ = _load(directory)
    former = _certificate(directory / CONTROLLER)
    try:
        names = former.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        raise _unusable(directory / CONTROLLER) from None
    if addresses:
        names = _alternative_names(addresses)
    # The key stays: then one file changes, at once, and the two always fit each other.
    pem = authority.certify_controller(former.public_key(), names, days)
    new = directory / f"{CONTROLLER}.new"
    try:
        _write(new, pem)
        new.replace(directory / CONTROLLER)
    except OSError as error:
        raise CertificateError(
            f"cannot write {new}: {error.strerror}; run this as the owner of {directory}"
        ) from None
    return [str(name.value) for name in names]


def issue(directory: Path, name: str, days: int = DAYS) -> Issued:
    """A key and a certificate for the host of this name; nothing of it is kept.

    Errors: CertificateError.
    """
    if not HOST_NAME.fullmatch(name):
        raise CertificateError(
            f"{name} cannot be a host's name: letters, digits, hyphens and dots, at most 64"
        )
    authority, ca_certificates = _load(directory)
    key = _new_key()
    return Issued(_pem(key), authority.certify_host(key.public_key(), name, days), ca_certificates)


def expires(path: Path) -> datetime:
    """When a certificate runs out. Errors: CertificateError."""
    return _certificate(path).not_valid_after_utc


class _Authority(NamedTuple):
    key: ec.EllipticCurvePrivateKey
    name: x509.Name

    def certify_itself(self) -> str:
        return self._certify(self.name, self.key.public_key(), AUTHORITY_DAYS)

    def certify_controller(
        self, key: CertificatePublicKeyTypes, names: x509.SubjectAlternativeName, days: int
    ) -> str:
        """A server to hosts that connect to it, a client of those whose OVSDB it connects to."""
        usage = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        subject = _subject("Tenantry controller")
        return self._certify(subject, key, days, names, x509.ExtendedKeyUsage(usage))

    def certify_host(self, key: CertificatePublicKeyTypes, name: str, days: int) -> str:
        """A client only. Open vSwitch compares no names: with a server's certificate, whoever
        breaks into one host could be the controller of all others."""
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
        names = x509.SubjectAlternativeName([x509.DNSName(name)])
        return self._certify(_subject(name), key, days, names, usage)

    def _certify(
        self,
        subject: x509.Name,
        key: CertificatePublicKeyTypes,
        days: int,
        *extensions: x509.ExtensionType,
    ) -> str:
        itself = key == self.key.public_key()
        now = datetime.now(timezone.utc)
        basic = x509.BasicConstraints(ca=itself, path_length=0 if itself else None)
        usage = x509.KeyUsage(
            digital_signature=not itself,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=itself,
            crl_sign=itself,
            encipher_only=False,
            decipher_only=False,
        )
        ours = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - CLOCK_SKEW)
            .not_valid_after(now + timedelta(days))
            .add_extension(basic, critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(ours, critical=False)
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        certificate = builder.sign(self.key, hashes.SHA256())
        return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _load(directory: Path) -> tuple[_Authority, str]:
    """The authority and its certificate as PEM."""
    certificate = _certificate(directory / AUTHORITY)
    path = directory / AUTHORITY_KEY
    try:
        key = serialization.load_pem_private_key(_read(path), password=None)
    except (ValueError, TypeError):
        raise _unusable(path) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or (
        key.public_key() != certificate.public_key()
    ):
        raise _unusable(path)
    pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
    return _Authority(key, certificate.subject), pem


def _certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(_read(path))
    except ValueError:
        raise _unusable(path) from None


def _unusable(path: Path) -> CertificateError:
    return CertificateError(
        f"{path} is not what `tenantry ca init` has made; restore it from a backup"
    )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise CertificateError(
            f"there is no {path}; make a certificate authority with "
            "`tenantry ca init --address ADDRESS`, or name its --directory"
        ) from None
    except OSError as error:
        raise CertificateError(
            f"cannot read {path}: {error.strerror}; run this as root or as its owner"
        ) from None


def _write(path: Path, pem: str) -> None:
    path.touch(mode=0o600)  # before there is anything in it to read
    path.write_text(pem)


def _new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _alternative_names(addresses: Sequence[str]) -> x509.SubjectAlternativeName:
    if not addresses:
        raise CertificateError("the controller needs an address: name one that hosts reach")
    return x509.SubjectAlternativeName([_alternative_name(address) for address in addresses])


def _alternative_name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        if HOST_NAME.fullmatch(text):
            return x509.DNSName(text)
        raise CertificateError(
            f"{text} is neither an IP address nor a host's name; name one that hosts reach"
        ) from None
