# SPDX-License-Identifier: Apache-2.0

"""The door for tokens: keystonemiddleware asks a Keystone about each, and we keep the answer.

Of an answer we keep what a context is made of, for ``token_cache_time`` and no longer than the
token lives: to read the whole of it, with its catalogue, again for each request would take as long
as the request. A token that was revoked is let in until then. What an application credential with
access rules may do depends on the request, so its tokens are asked about each time. A token that
Keystone does not know is refused for some seconds without asking again: whoever keeps coming with
one costs Keystone nothing, and shuts no known token out.

Headers by which keystonemiddleware tells others who calls (``X-Project-Id``, ``X-Roles``, ...) are
never read, whoever has set them.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

from keystoneauth1 import exceptions, loading
from keystonemiddleware import auth_token
from keystonemiddleware.auth_token import AuthProtocol
from oslo_config import cfg
from webob import Request, Response
from webob.exc import HTTPForbidden, HTTPServiceUnavailable

from tenantry.controller import runtime
from tenantry.controller.api.auth.caller import caller, named, unauthorized
from tenantry.controller.feature.context import Context

LOG = logging.getLogger(__name__)

logging.getLogger("keystonemiddleware").setLevel(logging.WARNING)
"""Below that it logs a Keystone's answers, in which there are tokens."""

MOST = 10_000
"""Tokens that are kept; who has not called for the longest is asked about again."""

REFUSED_SECONDS = 10.0
"""For how long a token is refused as it was the last time: it will hardly become good."""

SECTION = "keystone_authtoken"

_TOKEN, _SERVICE_TOKEN = "HTTP_X_AUTH_TOKEN", "HTTP_X_SERVICE_TOKEN"

_CONFIRMED, _UNAVAILABLE = Response(status=204), Response(status=503)

_UNKNOWN = "Keystone does not know the token, or it has run out; ask for another"


_CACHE = "tenantry.no_cache"


class _NoCache:
    """What keystonemiddleware takes for a cache of its own."""

    def get(self, key: str) -> None:
        return None

    def set(self, key: str, value: bytes, time: int) -> None: ...


class _Known(NamedTuple):
    """What a token says, and until when that is believed (time.time())."""

    who: str
    user_id: str
    project_id: str
    roles: frozenset[str]
    until: float


class Keystone:
    """Authenticates by the tokens of a Keystone."""

    def __init__(self, options: Any, clock: Callable[[], float] = time.time) -> None:
        """``options``: [keystone_authtoken]. Nobody is asked yet."""
        self._middleware = _middleware(options)
        self._challenge = f'Keystone uri="{options.www_authenticate_uri or options.auth_url}"'
        self._url = options.auth_url
        self._seconds = options.token_cache_time
        self._clock = clock
        self._key = os.urandom(32)
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._unknown: OrderedDict[bytes, float] = OrderedDict()
        """Until when a token is refused."""
        self._asking = runtime.KeyedLock()

    def __call__(self, request: Request) -> Context:
        tokens = [request.environ.get(name, "") for name in (_TOKEN, _SERVICE_TOKEN)]
        if not tokens[0]:
            raise unauthorized("A token is needed, in the header X-Auth-Token", self._challenge)
        known = self._find(self._digest("\0".join(tokens)), request)
        if not known.project_id:
            raise HTTPForbidden(
                f"The token of {known.who} is for no project, and networks belong to one: ask for "
                "a token of a project (OS_PROJECT_NAME)"
            )
        return caller(
            request,
            known.who,
            project_id=known.project_id,
            user_id=known.user_id,
            roles=known.roles,
        )

    def _find(self, key: bytes, request: Request) -> _Known:
        """What a token says. Whoever comes with one that is just being asked about waits for the
        answer: clients that have many requests on their way ask Keystone once."""
        if (known := self._kept(key)) is not None:
            return known
        with self._asking.held(key):
            if (known := self._kept(key)) is not None:
                return known
            known, may_be_kept = self._ask(key, request)
            if may_be_kept:
                self._known[key] = known
            while len(self._known) > MOST:
                self._known.popitem(last=False)
            return known

    def _kept(self, key: bytes) -> _Known | None:
        """Errors: 401, of what Keystone did not know a moment ago."""
        if self._unknown.get(key, 0.0) > self._clock():
            raise unauthorized(_UNKNOWN, self._challenge)
        known = self._known.get(key)
        if known is None or known.until <= self._clock():
            return None
        self._known.move_to_end(key)
        return known

    def _digest(self, tokens: str) -> bytes:
        octets = tokens.encode("latin-1", "replace")
        return hashlib.blake2b(octets, key=self._key, digest_size=32).digest()

    def _ask(self, key: bytes, request: Request) -> tuple[_Known, bool]:
        """What a token says, and whether it says so of any request. Errors: 401, 503."""
        until = self._clock() + self._seconds
        asked = Request(request.environ | {_CACHE: _NoCache()})
        try:
            answer = asked.get_response(self._middleware)
        except exceptions.ClientException as error:
            LOG.error("Keystone at %s cannot be asked about a token: %s", self._url, error)
            answer = _UNAVAILABLE
        if answer.status_int == _UNAVAILABLE.status_int:
            raise HTTPServiceUnavailable(
                "Keystone cannot be asked about the token now; try again, or tell who runs it",
                headers={"Retry-After": "5"},
            )
        if answer.status_int != _CONFIRMED.status_int:
            if not _is_known(asked):
                self._unknown[key] = self._clock() + REFUSED_SECONDS
                self._unknown.move_to_end(key)
                if len(self._unknown) > MOST:
                    self._unknown.popitem(last=False)
            raise unauthorized(_UNKNOWN, self._challenge)
        user = asked.environ["keystone.token_auth"].user
        token = asked.environ["keystone.token_info"]["token"]
        if user.expires is not None and not request.environ.get(_SERVICE_TOKEN):
            until = min(until, user.expires.timestamp())  # a service may use one that is over
        project = user.project_id or ""
        known = _Known(
            named(f"{user.username} ({user.user_id})", f"{user.project_name} ({project})"),
            user.user_id,
            project,
            frozenset(user.role_names),
            until,
        )
        restricted = "access_rules" in token.get("application_credential", {})
        return known, not restricted


def _is_known(asked: Request) -> bool:
    """Whether Keystone knows each token of a request that was refused: then another request with
    them may pass, by the access rules of an application credential."""
    found = asked.environ["keystone.token_auth"]
    by_service = asked.environ.get(_SERVICE_TOKEN)
    return bool(found.has_user_token and (found.has_service_token or not by_service))


def _middleware(options: Any) -> AuthProtocol:
    """keystonemiddleware's, with our options in an object of its own: it brings some thirty more,
    for caches of its own above all."""
    theirs = cfg.ConfigOpts()
    theirs([], project="tenantry", default_config_files=[], default_config_dirs=[])
    plugin: Any = loading.get_plugin_loader(options.auth_type)
    theirs.register_opts(loading.get_auth_plugin_conf_options(plugin), SECTION)
    for group, registered in auth_token.list_opts():
        theirs.register_opts(registered, group)
    for name, value in options.items():
        if value not in (None, "") and name in theirs[SECTION]:
            theirs.set_override(name, value, SECTION)
    theirs.set_override("cache", _CACHE, SECTION)
    if not options.www_authenticate_uri:
        theirs.set_override("www_authenticate_uri", options.auth_url, SECTION)
    return AuthProtocol(_CONFIRMED, {"oslo_config_config": theirs})
