# SPDX-License-Identifier: Apache-2.0

"""Certificates of all kinds, as PEM, for tests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NOW = datetime.now(timezone.utc)
PEM = serialization.Encoding.PEM


def key_pem(key: Any, passphrase: str = "") -> str:
    encryption: Any = serialization.NoEncryption()
    if passphrase:
        encryption = serialization.BestAvailableEncryption(passphrase.encode())
    return str(key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, encryption).decode())


class Signed(NamedTuple):
    """A certificate with its key."""

    certificate: x509.Certificate
    key: Any

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(PEM).decode()

    @property
    def key_pem(self) -> str:
        return key_pem(self.key)

    def revoked(self, *those: Signed) -> str:
        """What this authority has to say of those, as PEM."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(NOW)
            .next_update(NOW + timedelta(30))
        )
        for one in those:
            revoked = x509.RevokedCertificateBuilder()
            revoked = revoked.serial_number(one.certificate.serial_number).revocation_date(NOW)
            builder = builder.add_revoked_certificate(revoked.build())
        return builder.sign(self.key, hashes.SHA256()).public_bytes(PEM).decode()


def signed(
    name: str,
    names: Iterable[str] = (),
    *,
    by: Signed | None = None,
    days: int = 30,
    key: Any = None,
    authority: bool = False,
) -> Signed:
    """A certificate of this common name and these DNS names, by itself if by nobody else."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.certificate.subject if by else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(60))
        .not_valid_after(NOW + timedelta(days, hours=1))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    dns: Sequence[x509.GeneralName] = [x509.DNSName(each) for each in names]
    if dns:
        builder = builder.add_extension(x509.SubjectAlternativeName(dns), critical=False)
    return Signed(builder.sign(by.key if by else key, hashes.SHA256()), key)
