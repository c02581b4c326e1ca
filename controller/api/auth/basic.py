# SPDX-License-Identifier: Apache-2.0

"""The door for passwords (HTTP basic, RFC 7617): accounts in a file, by oslo.middleware.

bcrypt takes a fifth of a second on purpose. It runs in a thread, for few at a time, and once for a
password that is right: then a keyed hash of it is kept, in memory, beside the line it was right
for. So a request costs microseconds, and a password that was changed, or an account that was
removed, is no longer right with the next request.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
from pathlib import Path

import bcrypt
from oslo_middleware import basic_auth
from webob import Request
from webob.exc import HTTPException, HTTPServiceUnavailable, HTTPTooManyRequests

from tenantry.controller import runtime
from tenantry.controller.api.auth.attempts import Attempts
from tenantry.controller.api.auth.caller import caller, implied, named, unauthorized
from tenantry.controller.config import ConfigError, accounts
from tenantry.controller.config.accounts import Account
from tenantry.controller.feature.context import Context

LOG = logging.getLogger(__name__)

CHALLENGE = 'Basic realm="Tenantry", charset="UTF-8"'

AT_ONCE, WAITING = 2, 32
"""Passwords that are looked at, and that wait for it, at a time. Others use the threads, too."""

_NOBODY = Account("", bcrypt.hashpw(os.urandom(16), bcrypt.gensalt()).decode(), "", ())
"""Whose password nobody has: who names no account is to wait as long."""

_HEADER = "HTTP_AUTHORIZATION"

_WRONG = "The user name or the password is wrong"


class Basic:
    """Authenticates by the accounts in a file, which is read again whenever it changes."""

    def __init__(self, path: Path, attempts: Attempts | None = None) -> None:
        self._path, self._at = path, str(path)
        self._attempts = attempts or Attempts()
        self._accounts: dict[str, Account] = {}
        self._stamp: tuple[int, ...] | None = None
        self._trouble = ""
        self._key = os.urandom(32)
        self._verified: dict[str, tuple[str, bytes]] = {}
        """By name: the line's bcrypt, and the keyed hash of the password that it was right for."""
        self._asking = runtime.KeyedLock()
        self._checking = runtime.Lock(AT_ONCE)
        self._waiting = 0

    def __call__(self, request: Request) -> Context:
        self._follow()
        name, password = _said(request)
        account = self._accounts.get(name, _NOBODY)
        if not self._is_verified(account, password):
            with self._asking.held((name, self._digest(password))):
                if not self._is_verified(account, password):
                    self._verify(account, name, password, request.remote_addr or "")
        return caller(
            request,
            named(name, account.project),
            project_id=account.project,
            user_id=name,
            roles=implied(account.roles),
        )

    def _follow(self) -> None:
        """Read the file if it is another than before. Errors: 503, if it cannot be read."""
        stamp = runtime.file_stamp(self._at)
        if stamp != self._stamp:
            self._stamp, self._accounts, self._trouble = stamp, {}, ""
            try:
                self._accounts = accounts.read(self._path)
            except ConfigError as error:
                self._trouble = str(error)
                LOG.error("[api] accounts: %s; until then, nobody is let in", error)
            self._verified = {n: v for n, v in self._verified.items() if n in self._accounts}
        if self._trouble:
            raise HTTPServiceUnavailable("Accounts cannot be read; the controller's log says why")

    def _digest(self, password: bytes) -> bytes:
        return hashlib.blake2b(password, key=self._key, digest_size=32).digest()

    def _is_verified(self, account: Account, password: bytes) -> bool:
        crypted, digest = self._verified.get(account.name, ("", b""))
        same = hmac.compare_digest(digest, self._digest(password))
        return same and crypted == account.crypted

    def _verify(self, account: Account, name: str, password: bytes, address: str) -> None:
        """Errors: 401, 429."""
        if self._waiting >= AT_ONCE + WAITING:
            raise _too_many(1)
        if seconds := self._attempts.begin(address, name):
            raise _too_many(seconds)
        self._waiting += 1
        try:
            with self._checking:
                right = runtime.in_thread(_is_right, account, password)
        finally:
            self._waiting -= 1
        if not right or account is _NOBODY:
            whose = account.name or "an account that there is not"
            LOG.warning("a wrong password for %s from %s", whose, address)
            raise unauthorized(_WRONG, CHALLENGE)
        self._attempts.succeeded(address, name)
        self._verified[name] = (account.crypted, self._digest(password))


def _said(request: Request) -> tuple[str, bytes]:
    """Name and password. Errors: 401."""
    said = {_HEADER: request.environ[_HEADER]} if _HEADER in request.environ else {}
    try:
        return basic_auth.parse_token(basic_auth.parse_header(said))
    except HTTPException:
        words = "A user name and a password are needed, by HTTP basic authentication"
        raise unauthorized(words, CHALLENGE) from None


def _is_right(account: Account, password: bytes) -> bool:
    try:
        basic_auth.auth_entry(f"{account.name}:{account.crypted}", password)
    except (HTTPException, ValueError):  # ValueError: longer than bcrypt takes
        return False
    return True


def _too_many(seconds: int) -> HTTPTooManyRequests:
    return HTTPTooManyRequests(
        f"Too many wrong passwords; the next one is looked at in {seconds} s",
        headers={"Retry-After": str(seconds)},
    )
