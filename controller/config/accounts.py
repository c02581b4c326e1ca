# SPDX-License-Identifier: Apache-2.0

"""The file of accounts: who may enter by a password, in which project, with which roles.

It is an htpasswd file with two more fields, a line an account, ``NAME:BCRYPT:PROJECT:ROLE,ROLE``;
empty lines and comments (``#``) may stand between. Only its owner (and its group) may read it.
"""

from __future__ import annotations

import fcntl
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import bcrypt

from tenantry.controller.config.values import ConfigError

LEAST, MOST = 8, 72
"""Octets of a password; bcrypt looks at no more than the latter."""

_LINE = re.compile(r"([^:]+):(\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}):([^:]+):([^:]+)")
_NAME = re.compile(r"[^\s:,#]{1,255}")
_OTHERS = 0o007


class Account(NamedTuple):
    name: str
    crypted: str
    """bcrypt's, as in ``$2b$12$...``."""
    project: str
    roles: tuple[str, ...]

    def line(self) -> str:
        return f"{self.name}:{self.crypted}:{self.project}:{','.join(self.roles)}\n"


def read(path: Path) -> dict[str, Account]:
    """The accounts by name; none if there is no file. Errors: ConfigError, with what to do."""
    try:
        with path.open(encoding="utf-8") as file:
            if os.fstat(file.fileno()).st_mode & _OTHERS:
                raise ConfigError(f"{path} can be read by everybody: chmod 600 {path}")
            lines = file.read().split("\n")
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not text in UTF-8") from None
    found: dict[str, Account] = {}
    for number, line in enumerate(map(str.strip, lines), 1):
        if not line or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None or match[1] in found:
            raise ConfigError(
                f"{path}, line {number} is not NAME:BCRYPT:PROJECT:ROLE,ROLE of an account that is "
                "not there yet: `tenantry account` writes such lines"
            )
        found[match[1]] = Account(match[1], match[2], match[3], tuple(match[4].split(",")))
    return found


def check_name(what: str, name: str) -> str:
    """Errors: ValueError, for what has no place in a line."""
    if not _NAME.fullmatch(name) or not name.isprintable():
        raise ValueError(f"{what} must be 1 to 255 characters without spaces, colons, commas, #")
    return name


def crypt(password: str) -> str:
    """A password, as it is kept. Errors: ValueError, if it is too short or too long."""
    octets = password.encode()
    if not LEAST <= len(octets) <= MOST or "\0" in password:
        raise ValueError(f"a password must have {LEAST} to {MOST} octets (UTF-8)")
    return bcrypt.hashpw(octets, bcrypt.gensalt()).decode()


@contextmanager
def changed(path: Path) -> Iterator[dict[str, Account]]:
    """The accounts, to be changed in the block, and written at its end, unless it raises: whoever
    reads sees all of it or nothing. One at a time. Errors: ConfigError."""
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            fcntl.flock(directory, fcntl.LOCK_EX)
            before = read(path)
            after = dict(before)
            yield after
            if after != before:
                _write(path, before, after)
        finally:
            os.close(directory)
    except OSError as error:
        raise ConfigError(
            f"{error.filename or path}: {error.strerror}; run this as the owner of {path.parent}"
        ) from None


def _write(path: Path, before: dict[str, Account], after: dict[str, Account]) -> None:
    lines = []
    for line in path.read_text("utf-8").splitlines(keepends=True) if path.exists() else ():
        name = line.strip().partition(":")[0]
        if name not in before:
            lines.append(line)  # a comment
        elif name in after:
            lines.append(after[name].line())
    lines += [account.line() for name, account in after.items() if name not in before]
    owner = path.stat() if path.exists() else path.parent.stat()
    mode = owner.st_mode & 0o640 if path.exists() else 0o600
    descriptor, new = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(descriptor, mode)
            if os.geteuid() == 0:
                os.fchown(descriptor, owner.st_uid, owner.st_gid)  # the controller's, perhaps
            file.writelines(lines)
            file.flush()
            os.fsync(descriptor)
        os.replace(new, path)
    except BaseException:
        os.unlink(new)
        raise
