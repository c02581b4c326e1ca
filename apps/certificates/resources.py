# SPDX-License-Identifier: Apache-2.0

"""The API of certificates, ``/tenantry/v1/certificates``, and what listeners and pools say of them.

Listeners and pools name a certificate by its URL, as they name one of Barbican's in OpenStack; its
id alone will do. A private key is sealed before it is stored, and never shown. Who renews a
certificate changes it (PUT): its URL stays, and whoever shows it shows the new one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timezone
from typing import Any

from neutron_lib import exceptions
from neutron_lib.api.converters import convert_to_boolean

from tenantry.apps.certificates import pem
from tenantry.apps.certificates.policies import PATH, POLICIES
from tenantry.apps.certificates.records import CERTIFICATE, certificate_id
from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import (
    AttributeMap,
    Extension,
    Reader,
    ResourceHooks,
    ResourceSpec,
    is_set,
)
from tenantry.controller.feature.secrets import Secrets, SecretsError
from tenantry.controller.store import Body, Draft, Link, Store

LOG = logging.getLogger(__name__)

SHOWN, AUTHORITY, REVOKED = "certificate_shown", "certificate_authority", "certificate_crl"
"""The roles in which a certificate sees those who use it: they show it, they trust whom it has
signed, or they believe which ones it says are revoked."""

_NEEDED = {SHOWN: "private_key", AUTHORITY: "certificate", REVOKED: "crl"}
"""What a certificate must have for it."""

_TEXTS = ("certificate", "private_key", "intermediates", "crl")
_ONCE = ("pkcs12", "passphrase")
"""Read, and not kept."""

MOST = 65_536
"""Characters of a text."""

_SEALED = "sealed_key"
"""The attribute under which a key is stored."""


class CertificateNotFound(exceptions.NotFound):
    message = "Certificate %(id)s could not be found."


class BadCertificate(exceptions.BadRequest):
    message = "This is no certificate that can be used: %(reason)s."


class CertificateInUse(exceptions.Conflict):
    message = "Certificate %(id)s is in use by %(users)s: %(action)s."


class NoSuchCertificate(exceptions.BadRequest):
    message = (
        "Could not retrieve certificate: %(references)s. A reference is the URL of a certificate "
        f"(http://CONTROLLER{PATH}/ID), or its id; `tenantry certificate list` shows them."
    )


class NotThatCertificate(exceptions.BadRequest):
    message = "Certificate %(id)s has no %(needed)s, so it cannot be the %(attribute)s."


class SecretsUnavailable(exceptions.ServiceUnavailable):
    message = "Private keys cannot be kept: %(reason)s."


class CertificateHooks(ResourceHooks):
    def __init__(self, secrets: Secrets, clock: Callable[[], datetime]) -> None:
        self._secrets = secrets
        self._clock = clock

    def create(self, draft: Draft, context: Context, body: Body) -> None:
        given = {name: body.pop(name) for name in (*_TEXTS, *_ONCE)}
        self._keep(body, self._read(given))

    def update(self, draft: Draft, context: Context, before: Body, body: Body) -> None:
        given = {name: body.pop(name, None) for name in _ONCE}
        changed = {n for n in _TEXTS if body.get(n) != before.get(n)} | {*filter(given.get, given)}
        if not changed:
            return
        given |= {name: body.get(name) for name in _TEXTS}
        if given["pkcs12"]:
            given |= dict.fromkeys(("certificate", "private_key", "intermediates"))
        elif not given["private_key"] and before[_SEALED] and given["certificate"]:
            given["private_key"] = self._opened(before[_SEALED])
        body.pop("private_key", None)
        found = self._read(given)
        for role, needed in _NEEDED.items():
            users = draft.linked(body["id"], role)
            if users and not getattr(found, needed):
                raise CertificateInUse(
                    id=body["id"], users=", ".join(users), action=f"it needs a {needed}"
                )
        self._keep(body, found)

    def _read(self, given: Mapping[str, Any]) -> pem.Pems:
        texts = {name: value for name, value in given.items() if is_set(value)}
        bundle, passphrase = texts.pop("pkcs12", ""), texts.get("passphrase", "")
        try:
            if not bundle:
                return pem.read(**texts)
            if texts.keys() - {"passphrase", "crl"}:
                raise ValueError("give pkcs12, or certificate, private_key and intermediates")
            return pem.from_pkcs12(bundle, passphrase)
        except ValueError as error:
            raise BadCertificate(reason=str(error)) from None

    def _keep(self, body: Body, found: pem.Pems) -> None:
        body |= {name: text for name, text in found._asdict().items() if name != "private_key"}
        body |= pem.facts(found)
        try:
            body[_SEALED] = self._secrets.seal(found.private_key) if found.private_key else ""
        except SecretsError as error:
            raise SecretsUnavailable(reason=str(error)) from None

    def _opened(self, sealed: str) -> str:
        try:
            return self._secrets.open(sealed)
        except SecretsError as error:
            raise SecretsUnavailable(reason=str(error)) from None

    def delete(self, draft: Draft, context: Context, body: Body) -> None:
        users = [id for role in _NEEDED for id in draft.linked(body["id"], role)]
        if users:
            raise CertificateInUse(
                id=body["id"], users=", ".join(dict.fromkeys(users)), action="name another there"
            )

    def present(self, reader: Reader, context: Context, body: Body, shown: Body) -> None:
        shown["has_private_key"] = bool(body[_SEALED])
        shown["used_by"] = [
            *dict.fromkeys(id for r in _NEEDED for id in reader.linked(body["id"], r))
        ]
        shown["expires_in_days"] = _days_left(body["not_after"], self._clock())

    def upgrade(self, store: Store) -> None:
        """Seal by the newest key what older ones have sealed."""

        def change(draft: Draft) -> None:
            for body in store.read(CERTIFICATE).values():
                sealed = body[_SEALED]
                if sealed and not self._secrets.is_newest(sealed):
                    again = self._secrets.seal(self._secrets.open(sealed))
                    draft.put(CERTIFICATE, {**body, _SEALED: again})

        try:
            store.write(change, "tenantry")
        except SecretsError as error:
            LOG.error("%s", error)


def _days_left(until: str | None, now: datetime) -> int | None:
    if until is None:
        return None
    end = datetime.strptime(until, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    return (end - now).days


class ReferenceHooks(ResourceHooks):
    """Of a kind that names certificates, by these attributes, each for a role."""

    def __init__(self, roles: Mapping[str, str]) -> None:
        self._roles = roles

    def create(self, draft: Draft, context: Context, body: Body) -> None:
        self._check(draft, context, body, self._references(body))

    def update(self, draft: Draft, context: Context, before: Body, body: Body) -> None:
        known = {*self._references(before)}
        asked = [one for one in self._references(body) if one not in known]
        self._check(draft, context, body, asked)

    def _check(
        self, draft: Draft, context: Context, body: Body, asked: Iterable[tuple[str, str]]
    ) -> None:
        found = [(name, ref, draft.get(CERTIFICATE, certificate_id(ref))) for name, ref in asked]
        # Whoever may change the listener may show its project's certificates, and no other's.
        missing = [
            ref for _, ref, one in found if one is None or one["project_id"] != body["project_id"]
        ]
        if missing:
            raise NoSuchCertificate(references=", ".join(missing))
        for name, _, one in found:
            needed = _NEEDED[self._roles[name]]
            has = _SEALED if needed == "private_key" else needed
            if one is not None and not one[has]:
                raise NotThatCertificate(
                    id=one["id"], needed=needed.replace("_", " "), attribute=name
                )

    def links(self, body: Body) -> Iterable[Link]:
        for name, reference in self._references(body):
            yield Link(certificate_id(reference), self._roles[name])

    def _references(self, body: Body) -> Iterator[tuple[str, str]]:
        for name in self._roles:
            value = body.get(name)
            if is_set(value) and value:
                yield from ((name, each) for each in ([value] if isinstance(value, str) else value))


LISTENER = {
    "default_tls_container_ref": SHOWN,
    "sni_container_refs": SHOWN,
    "client_ca_tls_container_ref": AUTHORITY,
    "client_crl_container_ref": REVOKED,
}
POOL = {
    "tls_container_ref": SHOWN,
    "ca_tls_container_ref": AUTHORITY,
    "crl_container_ref": REVOKED,
}

_SEEN = {"allow_post": False, "allow_put": False, "is_visible": True, "is_filter": True}


def _text(most: int, *, visible: bool = True, **more: Any) -> dict[str, Any]:
    own = {"validate": {"type:string_or_none": most}, "default": None, "is_visible": visible}
    return {"allow_post": True, "allow_put": True, **own, **more}


ATTRIBUTES: AttributeMap = {
    "id": {**_SEEN, "validate": {"type:uuid": None}, "primary_key": True},
    "name": _text(255, default="", validate={"type:string": 255}, is_filter=True, is_sort_key=True),
    "project_id": {
        "allow_post": True,
        "allow_put": False,
        "is_visible": True,
        "is_filter": True,
        "validate": {"type:string": 255},
        "required_by_policy": True,
    },
    "certificate": _text(MOST),
    "intermediates": _text(MOST),
    "crl": _text(1_048_576),
    "private_key": _text(MOST, visible=False),
    "passphrase": _text(1024, visible=False),
    "pkcs12": _text(2 * MOST, visible=False),
    **dict.fromkeys(
        ("subject", "issuer", "names", "serial_number", "fingerprint", "not_before", "not_after"),
        _SEEN,
    ),
    **dict.fromkeys(("expires_in_days", "used_by"), _SEEN),
    "has_private_key": {**_SEEN, "convert_to": convert_to_boolean},
}


def extension(
    secrets: Secrets, clock: Callable[[], datetime] = lambda: datetime.now(timezone.utc)
) -> Extension:
    hooks = CertificateHooks(secrets, clock)
    return Extension(
        kinds=(
            ResourceSpec(
                name=CERTIFICATE,
                collection="certificates",
                attributes={**ATTRIBUTES, "tenant_id": ATTRIBUTES["project_id"]},
                not_found=lambda id: CertificateNotFound(id=id),
                path=PATH,
            ),
        ),
        rules={
            CERTIFICATE: hooks,
            "listener": ReferenceHooks(LISTENER),
            "pool": ReferenceHooks(POOL),
        },
        upgrade=hooks.upgrade,
        policies=POLICIES,
    )
