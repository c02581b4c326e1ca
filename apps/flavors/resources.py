# SPDX-License-Identifier: Apache-2.0

"""Flavors in the API, their service profiles, and the flavor of a router."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from neutron_lib import exceptions
from neutron_lib.api.definitions import dvr, flavors, l3_ext_ha_mode, l3_flavors, servicetype
from neutron_lib.db.constants import LONG_DESCRIPTION_FIELD_SIZE, PROJECT_ID_FIELD_SIZE
from neutron_lib.exceptions import flavors as errors
from neutron_lib.plugins.constants import FLAVORS, L3

from tenantry.apps.flavors.policies import POLICIES
from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import (
    ApiRoute,
    Extension,
    NewDefinition,
    Reader,
    ResourceHooks,
    ResourceSpec,
    changed,
    is_set,
)
from tenantry.controller.store import Body, Draft, Link, Store

FLAVOR, PROFILE = "flavor", "service_profile"
PROFILES = flavors.SERVICE_PROFILES
FLAVOR_ID = l3_flavors.FLAVOR_ID

PROVIDER = "tenantry"
DRIVER = "tenantry.routing"

_TYPES = (L3, FLAVORS)
"""For what there may be flavors. Those for nothing but FLAVORS are notes, as in Neutron."""

_OF_ROUTER = "router_flavor"
"""The role in which a flavor sees its routers."""


class FlavorHooks(ResourceHooks):
    """Everybody sees flavors, to choose one."""

    def create(self, draft: Draft, context: Context, body: Body) -> None:
        body["project_id"] = ""
        if body["service_type"] not in _TYPES:
            raise exceptions.InvalidInput(
                error_message=f"service_type '{body['service_type']}' has no flavors; use one of "
                + ", ".join(_TYPES)
            )
        self._check_profiles(draft, body)

    def update(self, draft: Draft, context: Context, before: Body, body: Body) -> None:
        self._check_profiles(draft, body)

    def _check_profiles(self, draft: Draft, body: Body) -> None:
        body[PROFILES] = list(dict.fromkeys(body[PROFILES]))
        for id in body[PROFILES]:
            if draft.get(PROFILE, id) is None:
                raise errors.ServiceProfileNotFound(sp_id=id)

    def delete(self, draft: Draft, context: Context, body: Body) -> None:
        if draft.linked(body["id"], _OF_ROUTER):
            raise errors.FlavorInUse(flavor_id=body["id"])

    def links(self, body: Body) -> Iterable[Link]:
        for id in body[PROFILES]:
            yield Link(id, FLAVOR)

    def may_see(self, reader: Reader, context: Context, body: Body) -> bool:
        return True

    # --- the profiles of one -------------------------------------------------------------------

    def associate(self, store: Store, context: Context, said: Body, flavor: str) -> tuple[int, Any]:
        profile = said.get(PROFILE)
        id = profile.get("id") if isinstance(profile, dict) else None

        def change(draft: Draft) -> Body:
            body = _flavor(draft, flavor)
            if not isinstance(id, str) or draft.get(PROFILE, id) is None:
                raise errors.ServiceProfileNotFound(sp_id=id)
            if id in body[PROFILES]:
                raise errors.FlavorServiceProfileBindingExists(sp_id=id, fl_id=flavor)
            draft.put(FLAVOR, changed(body, **{PROFILES: [*body[PROFILES], id]}))
            return self.kinds[FLAVOR].shown(draft, context, _flavor(draft, flavor))

        return 201, {PROFILE: store.write(change, context.actor)}

    def dissociate(
        self, store: Store, context: Context, said: Body, flavor: str, profile: str
    ) -> tuple[int, Any]:
        def change(draft: Draft) -> None:
            body = _bound(draft, flavor, profile)
            kept = [id for id in body[PROFILES] if id != profile]
            draft.put(FLAVOR, changed(body, **{PROFILES: kept}))

        store.write(change, context.actor)
        return 204, None

    def list_profiles(
        self, store: Store, context: Context, said: Any, flavor: str
    ) -> tuple[int, Any]:
        return 200, {PROFILES: [{"id": id} for id in _flavor(store, flavor)[PROFILES]]}

    def show_profile(
        self, store: Store, context: Context, said: Any, flavor: str, profile: str
    ) -> tuple[int, Any]:
        _bound(store, flavor, profile)
        return 200, {PROFILE: {"service_profile_id": profile, "flavor_id": flavor}}

    def next_providers(
        self, store: Store, context: Context, said: Any, flavor: str
    ) -> tuple[int, Any]:
        """Who would serve what has this flavor."""
        found = _profile_for(store, _flavor(store, flavor))
        return 200, {
            "next_providers": [{"driver": found["driver"], "provider": PROVIDER}],
        }


def _flavor(reader: Reader, id: str) -> Body:
    body = reader.get(FLAVOR, id)
    if body is None:
        raise errors.FlavorNotFound(flavor_id=id)
    return body


def _bound(reader: Reader, flavor: str, profile: str) -> Body:
    """The flavor, if it has the profile."""
    body = _flavor(reader, flavor)
    if profile not in body[PROFILES]:
        raise errors.FlavorServiceProfileBindingNotFound(sp_id=profile, fl_id=flavor)
    return body


def _profile_for(reader: Reader, flavor: Body) -> Body:
    """The first profile of a flavor, as Neutron chooses, if it can be had."""
    found = [body for id in flavor[PROFILES] if (body := reader.get(PROFILE, id))]
    if not found:
        raise errors.FlavorServiceProfileBindingNotFound(sp_id="", fl_id=flavor["id"])
    if not found[0]["enabled"]:
        raise errors.ServiceProfileDisabled()
    if found[0]["driver"] != DRIVER:
        raise errors.ServiceProfileDriverNotFound(driver=found[0]["driver"])
    return found[0]


class ServiceProfileHooks(ResourceHooks):
    def create(self, draft: Draft, context: Context, body: Body) -> None:
        body["project_id"] = ""
        self._check(body)

    def update(self, draft: Draft, context: Context, before: Body, body: Body) -> None:
        self._check(body)
        self._check_unused(draft, body)

    def delete(self, draft: Draft, context: Context, body: Body) -> None:
        self._check_unused(draft, body)

    @staticmethod
    def _check(body: Body) -> None:
        if body["driver"] and body["driver"] != DRIVER:
            raise errors.ServiceProfileDriverNotFound(driver=body["driver"])
        if not body["driver"] and not body["metainfo"]:
            raise errors.ServiceProfileEmpty()

    @staticmethod
    def _check_unused(draft: Draft, body: Body) -> None:
        if draft.linked(body["id"], FLAVOR):
            raise errors.ServiceProfileInUse(sp_id=body["id"])

    def present(self, reader: Reader, context: Context, body: Body, shown: Body) -> None:
        shown[flavors.FLAVORS] = list(reader.linked(body["id"], FLAVOR))


class RouterFlavorHooks(ResourceHooks):
    def create(self, draft: Draft, context: Context, body: Body) -> None:
        if not is_set(body[FLAVOR_ID]):
            return
        if any(is_set(body[name]) for name in (dvr.DISTRIBUTED, l3_ext_ha_mode.HA_INFO)):
            raise exceptions.BadRequest(
                resource="router",
                msg="a flavor says what a router is: leave out flavor_id, or distributed and ha",
            )
        flavor = _flavor(draft, str(body[FLAVOR_ID]))
        if not flavor["enabled"]:
            raise errors.FlavorDisabled()
        if flavor["service_type"] != L3:
            raise exceptions.InvalidInput(
                error_message=f"flavor {flavor['id']} is for {flavor['service_type']}, not for {L3}"
            )
        _profile_for(draft, flavor)

    def links(self, body: Body) -> Iterable[Link]:
        if body.get(FLAVOR_ID):
            yield Link(body[FLAVOR_ID], _OF_ROUTER)

    def present(self, reader: Reader, context: Context, body: Body, shown: Body) -> None:
        shown.setdefault(FLAVOR_ID, None)  # routers from before there was such an attribute


def _providers(store: Store, context: Context) -> Iterable[Body]:
    """Who serves what: one provider of routers."""
    yield {"service_type": L3, "name": PROVIDER, "default": True}


_NOBODYS: Mapping[str, Any] = {
    "tenant_id": {
        "allow_post": True,
        "allow_put": False,
        "is_visible": False,
        "validate": {"type:string": PROJECT_ID_FIELD_SIZE},
        "required_by_policy": True,
    }
}


def _attributes(collection: str) -> dict[str, Mapping[str, Any]]:
    return {**flavors.RESOURCE_ATTRIBUTE_MAP[collection], **_NOBODYS}


_FLAVORS_DEFINITION = NewDefinition.instead(
    flavors,
    {
        flavors.FLAVORS: {
            # neutron-lib's asks Neutron's own list of plug-ins.
            "service_type": {"validate": {"type:not_empty_string": LONG_DESCRIPTION_FIELD_SIZE}},
        },
        PROFILES: {
            "metainfo": {"validate": {"type:string": LONG_DESCRIPTION_FIELD_SIZE}},
            flavors.FLAVORS: {"allow_post": False, "allow_put": False, "is_visible": True},
        },
    },
)


def extension() -> Extension:
    """The kinds ``flavor`` and ``service_profile``, and ``flavor_id`` of routers."""
    hooks = FlavorHooks()
    of_flavor, binding = "flavors/{flavor}/service_profiles", "flavor_service_profile"
    return Extension(
        policies=POLICIES,
        definitions=(_FLAVORS_DEFINITION, l3_flavors, servicetype),
        kinds=(
            ResourceSpec(
                name=PROFILE,
                collection=PROFILES,
                attributes=_attributes(PROFILES),
                not_found=lambda id: errors.ServiceProfileNotFound(sp_id=id),
                standard=(),
            ),
            ResourceSpec(
                name=FLAVOR,
                collection=flavors.FLAVORS,
                attributes=_attributes(flavors.FLAVORS),
                not_found=lambda id: errors.FlavorNotFound(flavor_id=id),
                standard=(),
            ),
        ),
        rules={
            FLAVOR: hooks,
            PROFILE: ServiceProfileHooks(),
            "router": RouterFlavorHooks(),
        },
        lists={"service-providers": _providers},
        routes=(
            ApiRoute("GET", of_flavor, f"get_{binding}", hooks.list_profiles),
            ApiRoute("POST", of_flavor, f"create_{binding}", hooks.associate),
            ApiRoute("GET", of_flavor + "/{profile}", f"get_{binding}", hooks.show_profile),
            ApiRoute("DELETE", of_flavor + "/{profile}", f"delete_{binding}", hooks.dissociate),
            ApiRoute(
                "GET", "flavors/{flavor}/next_providers", f"get_{binding}", hooks.next_providers
            ),
        ),
    )
