# SPDX-License-Identifier: Apache-2.0

"""TLS of a listener, by PEM files that are read again when they change: who renews a certificate
restarts nothing."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path

from tenantry.controller import runtime

LOG = logging.getLogger(__name__)


class ServerTls:
    """Our certificate and key; and, if clients must have certificates, whose."""

    def __init__(self, certificate: str, private_key: str, ca_certificates: str = "") -> None:
        self.certificate = certificate
        self.private_key = private_key
        self.ca_certificates = ca_certificates
        self._stamp: list[tuple[int, ...]] = []
        self._context: ssl.SSLContext | None = None

    def context(self) -> ssl.SSLContext:
        """For the next connection. Files that do not go together, as while they are replaced one
        by one, are logged, and the former ones are used. Errors: OSError, if there were none."""
        stamp = [runtime.file_stamp(file) for file in self._files]
        if self._context is None or stamp != self._stamp:
            try:
                self._context = self._read()
            except OSError as error:
                if self._context is None:
                    raise
                LOG.error("%s; the former certificate is shown until that is mended", error)
            else:
                LOG.info("%s is read", self.certificate)
            self._stamp = stamp
        return self._context

    @property
    def _files(self) -> list[str]:
        return [self.certificate, self.private_key, *filter(None, [self.ca_certificates])]

    def _read(self) -> ssl.SSLContext:
        for file in self._files:
            try:
                Path(file).read_bytes()
            except OSError as error:
                raise OSError(f"{file}: {error.strerror}") from None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            # An encrypted key would be asked for at the terminal.
            context.load_cert_chain(self.certificate, self.private_key, password="")
            if self.ca_certificates:
                context.load_verify_locations(self.ca_certificates)
                context.verify_mode = ssl.CERT_REQUIRED
        except (OSError, ValueError):
            raise OSError(
                f"{', '.join(self._files)} are not a certificate, its private key without a "
                "password, and certificates of authorities, in PEM"
            ) from None
        return context
