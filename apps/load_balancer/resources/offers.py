# SPDX-License-Identifier: Apache-2.0

"""What an operator offers by name: flavors and availability zones of load balancers, and the
profiles that say what stands behind each.

Octavia has the two alike. An availability zone has its name for an id. What a load balancer has is
not deleted, and what a flavor or a zone stands on does not change under it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from neutron_lib import exceptions

from tenantry.apps.load_balancer.policies import ADMIN, READ, of_kind
from tenantry.apps.load_balancer.resources import providers
from tenantry.apps.load_balancer.resources.attributes import (
    MAX_TEXT,
    REQUIRED,
    SHOWN,
    Spec,
    Wrong,
    declared,
    flag,
    reference,
    spec,
    text,
)
from tenantry.apps.load_balancer.resources.errors import PROVIDER, DisabledOption, NotFound, invalid
from tenantry.apps.load_balancer.resources.providers import Capability
from tenantry.apps.load_balancer.resources.service import OCTAVIA
from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import ResourceHooks, ResourceSpec
from tenantry.controller.store import Body, Claim, Draft, Link

LOAD_BALANCER = "loadbalancer"
PROVIDER_NAME = "provider_name"
MAX_DATA = 4096


class RecordAlreadyExists(exceptions.Conflict):
    message = "A %(kind)s of %(name)s already exists."


class ObjectInUse(exceptions.InUse):
    message = "%(kind)s %(id)s is in use and cannot be modified."


class ProviderFlavorMismatch(exceptions.BadRequest):
    message = "Flavor '%(flavor)s' is not compatible with provider '%(provider)s'"


@dataclass(frozen=True, eq=False)
class Offer:
    """Flavors, or availability zones: the kind, what clients, policies and people call it, and its
    profiles."""

    kind: str
    name: str
    rule: str
    title: str
    profile_kind: str
    profile_name: str
    data: str  # the attribute of a profile: what it asks of its provider, in JSON
    capabilities: Mapping[str, Capability]
    asked_as: str  # the attribute of a load balancer

    @property
    def profile_id(self) -> str:
        return f"{self.name}_profile_id"

    @property
    def link(self) -> str:
        """The hidden attribute of a load balancer: the id of what it asked for."""
        return f"{self.kind}_id"


class ProfileHooks(ResourceHooks):
    """A profile: a provider, and what is asked of it."""

    def __init__(self, offer: Offer) -> None:
        self._offer = offer

    def create(self, draft: Draft, context: Context, body: Body) -> None:
        body["project_id"] = ""
        self._check(body)

    def update(self, draft: Draft, context: Context, before: Body, body: Body) -> None:
        if any(body[name] != before[name] for name in (PROVIDER_NAME, self._offer.data)):
            self._check_unused(draft, body)
            self._check(body)

    def delete(self, draft: Draft, context: Context, body: Body) -> None:
        self._check_unused(draft, body)

    def _check(self, body: Body) -> None:
        providers.check_provider(body[PROVIDER_NAME])
        providers.parse_data(self._offer.data, body[self._offer.data], self._offer.capabilities)

    def _check_unused(self, draft: Draft, body: Body) -> None:
        if draft.linked(body["id"], self._offer.kind):
            raise ObjectInUse(kind=f"{self._offer.title} profile", id=body["id"])


class OfferHooks(ResourceHooks):
    """A flavor, or an availability zone. Everybody sees them, to choose one."""

    def __init__(self, offer: Offer) -> None:
        self._offer = offer

    def create(self, draft: Draft, context: Context, body: Body) -> None:
        body["project_id"] = ""
        profile = body[self._offer.profile_id]
        if draft.get(self._offer.profile_kind, profile) is None:
            raise NotFound(resource=f"{self._offer.title} profile", id=profile)

    def delete(self, draft: Draft, context: Context, body: Body) -> None:
        if draft.linked(body["id"], LOAD_BALANCER):
            raise ObjectInUse(kind=self._offer.title, id=body["name"])

    def claims(self, body: Body) -> Iterable[Claim]:
        if self._offer is not ZONE:  # which is named by it
            yield Claim(self._offer.kind, "", body["name"])

    def taken(self, claim: Claim, body: Body) -> Exception | None:
        return RecordAlreadyExists(kind=self._offer.title, name=body["name"])

    def links(self, body: Body) -> Iterable[Link]:
        yield Link(body[self._offer.profile_id], self._offer.kind)


FLAVOR = Offer(
    kind="load_balancer_flavor",
    name="flavor",
    rule="flavor",
    title="Flavor",
    profile_kind="load_balancer_flavor_profile",
    profile_name="flavorprofile",
    data="flavor_data",
    capabilities=providers.OF_FLAVORS,
    asked_as="flavor_id",
)
ZONE = Offer(
    kind="load_balancer_zone",
    name="availability_zone",
    rule="availability-zone",
    title="Availability Zone",
    profile_kind="load_balancer_zone_profile",
    profile_name="availability_zone_profile",
    data="availability_zone_data",
    capabilities=providers.OF_ZONES,
    asked_as="availability_zone",
)
OFFERS = (FLAVOR, ZONE)

_NOBODYS: Mapping[str, Spec] = {
    "tenant_id": {
        "allow_post": True,
        "allow_put": False,
        "is_visible": False,
        "validate": {"type:string": MAX_TEXT},
        "required_by_policy": True,
    }
}
"""Whose they are: of nobody."""


def _in_url(name: Any) -> str:
    """A name that can be a segment of a URL."""
    if not isinstance(name, str) or not name or "/" in name or len(name) > MAX_TEXT:
        raise Wrong("a zone is asked for by its name, which cannot be in a URL")
    return name


_ID: Spec = {**SHOWN, "is_filter": True, "is_sort_key": True}


def _specs(offer: Offer) -> Iterator[ResourceSpec]:
    yield ResourceSpec(
        name=offer.profile_kind,
        collection=f"{offer.profile_name}s",
        singular=offer.profile_name,
        path=f"{offer.profile_name}s".replace("_", ""),
        rule=f"{offer.rule}-profile",
        attributes=declared(
            {
                **_NOBODYS,
                "id": _ID,
                "name": text(REQUIRED),
                PROVIDER_NAME: text(REQUIRED),
                offer.data: text(REQUIRED, MAX_DATA),
            }
        ),
        not_found=lambda id: NotFound(resource=f"{offer.title} Profile", id=id),
        quota=None,
        standard=(),
        service=OCTAVIA,
    )
    named = offer is ZONE
    yield ResourceSpec(
        name=offer.kind,
        collection=f"{offer.name}s",
        singular=offer.name,
        path=f"{offer.name}s".replace("_", ""),
        rule=offer.rule,
        attributes=declared(
            {
                **_NOBODYS,
                "id": {**_ID, "is_visible": not named},
                "name": spec(_in_url, fixed=True) if named else text(REQUIRED),
                "description": text(),
                "enabled": flag(True),
                offer.profile_id: reference(REQUIRED, fixed=True),
            }
        ),
        not_found=lambda id: NotFound(resource=offer.title, id=id),
        named_by="name" if named else "",
        quota=None,
        standard=(),
        service=OCTAVIA,
    )


SPECS = tuple(each for offer in OFFERS for each in _specs(offer))

HOOKS: Mapping[str, ResourceHooks] = {
    kind: hooks(offer)
    for offer in OFFERS
    for kind, hooks in ((offer.profile_kind, ProfileHooks), (offer.kind, OfferHooks))
}

_ADMINS = dict.fromkeys(("list", "create", "get", "update", "delete"), ADMIN)

POLICIES = tuple(
    policy
    for offer in OFFERS
    for policy in (
        *of_kind(f"{offer.rule}-profile", f"/{offer.profile_name}s".replace("_", ""), _ADMINS),
        *of_kind(
            offer.rule,
            f"/{offer.name}s".replace("_", ""),
            {**_ADMINS, "list": READ, "get": READ},
        ),
    )
)


# --- of load balancers --------------------------------------------------------------------------


def choose(draft: Draft, body: Body) -> list[str] | None:
    """Check what a new load balancer asks for: the networks that it may be in, if not any. Its
    provider is its flavor's, if it names none. Errors: Octavia's 400s."""
    data = {offer: _data(draft, offer, body) for offer in OFFERS}
    body["provider"] = body["provider"] or data[FLAVOR].get(PROVIDER_NAME) or PROVIDER
    providers.check_provider(body["provider"])
    if body["provider"] != data[FLAVOR].get(PROVIDER_NAME, body["provider"]):
        raise ProviderFlavorMismatch(flavor=body["flavor_id"], provider=body["provider"])
    networks: list[str] | None = data[ZONE].get(providers.VALID_VIP_NETWORKS)
    return networks


def check_network(networks: list[str] | None, body: Body) -> None:
    """Whether a load balancer may be where its port is. Errors: ValidationException."""
    if networks is not None and body["vip_network_id"] not in networks:
        raise invalid(
            f"VIPs of availability zone {body['availability_zone']} are in networks "
            f"{', '.join(networks)}: ask for one of these."
        )


def _data(draft: Draft, offer: Offer, body: Body) -> Body:
    """What stands behind what a load balancer asks for, with its ``provider_name``; nothing, if it
    does not ask."""
    asked = body[offer.asked_as]
    if asked is None:
        return {}
    id = draft.owner(Claim(ZONE.kind, "", asked)) if offer is ZONE else asked
    found = draft.get(offer.kind, id) if id else None
    if found is None:
        raise invalid(f"Invalid {offer.asked_as}.")
    if not found["enabled"]:
        raise DisabledOption(option=offer.name, value=asked)
    body[offer.link] = found["id"]
    profile = draft.get(offer.profile_kind, found[offer.profile_id])
    assert profile is not None  # it is linked to
    return {PROVIDER_NAME: profile[PROVIDER_NAME], **json.loads(profile[offer.data])}


def links(body: Body) -> Iterator[Link]:
    """What a load balancer has been given is not deleted."""
    for offer in OFFERS:
        if body.get(offer.link):
            yield Link(body[offer.link], LOAD_BALANCER)
