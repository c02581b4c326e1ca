# SPDX-License-Identifier: Apache-2.0

"""Secrets that features keep in the store, sealed: whoever reads the database, or a backup of it,
reads none of them.

The keys are in a file of their own, one a line, the newest first; ``cryptography`` makes and uses
them (Fernet: AES in CBC mode with an HMAC). Whatever is sealed is sealed by the newest, and opened
by whichever was used.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from tenantry.controller import runtime


class SecretsError(Exception):
    """A secret cannot be sealed or opened; the text says why and what to do."""


class Secrets:
    """By the keys in a ``file``, which is read again when it has changed. Processes that share a
    store share the file."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._stamp: tuple[int, ...] = ()
        self._keys: list[Fernet] = []

    def seal(self, text: str) -> str:
        """Makes the file if there is none. Errors: SecretsError."""
        if not runtime.file_stamp(self._file):
            add_key(self._file)
        return self._read()[0].encrypt(text.encode()).decode()

    def open(self, sealed: str) -> str:
        """Errors: SecretsError."""
        try:
            return MultiFernet(self._read()).decrypt(sealed).decode()
        except InvalidToken:
            raise SecretsError(
                f"the key by which a secret was sealed is not in {self._file}: put the file back "
                "from a backup, or make the secret anew"
            ) from None

    def is_newest(self, sealed: str) -> bool:
        """Whether something was sealed by the newest key. Errors: SecretsError."""
        try:
            self._read()[0].decrypt(sealed)
        except InvalidToken:
            return False
        return True

    def _read(self) -> list[Fernet]:
        stamp = runtime.file_stamp(self._file)
        if not stamp or stamp != self._stamp:
            self._keys = [Fernet(line) for line in _lines(self._file)]
            self._stamp = stamp
        return self._keys


def _lines(file: str) -> list[str]:
    try:
        lines = [line.strip() for line in Path(file).read_text().splitlines()]
        keys = [line for line in lines if line and not line.startswith("#")]
        for key in keys:
            Fernet(key)
        if not keys:
            raise ValueError
        if os.stat(file).st_mode & 0o077:
            raise SecretsError(f"{file} can be read by others than its owner: chmod 0600 it")
    except OSError as error:
        raise SecretsError(f"cannot read {file}: {error.strerror}") from None
    except ValueError:
        raise SecretsError(f"{file} is not as it was made: put it back from a backup") from None
    return keys


def add_key(file: str) -> None:
    """A new key before those that there are. Errors: SecretsError."""
    former = _lines(file) if runtime.file_stamp(file) else []
    keys = "".join(f"{key}\n" for key in (Fernet.generate_key().decode(), *former))
    path = Path(file)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # There is never half a file, and none that anybody else may read.
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as new:
            new.write(keys)
            new.flush()
            os.fsync(new.fileno())
        if former:
            os.replace(new.name, file)
        else:
            _first(new.name, file)
    except OSError as error:
        raise SecretsError(f"cannot write {file}: {error.strerror}") from None


def _first(new: str, file: str) -> None:
    """Of several who make one at the same time, one has made it."""
    try:
        os.link(new, file)
    except FileExistsError:
        pass
    finally:
        os.unlink(new)
