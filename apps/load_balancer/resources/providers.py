# SPDX-License-Identifier: Apache-2.0

"""Providers of load balancers: there is one, ours; and what flavors and availability zones may ask
of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from neutron_lib.api import validators

from tenantry.apps.load_balancer.policies import ADMIN, READ, of_kind
from tenantry.apps.load_balancer.resources.errors import (
    PROVIDER,
    InvalidOption,
    NotFound,
    ProviderNotEnabled,
    unsupported,
)
from tenantry.apps.load_balancer.resources.service import OCTAVIA, rule
from tenantry.controller.feature import policies
from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import ApiRoute
from tenantry.controller.store import Body, Store

DESCRIPTION = "Connections by Open vSwitch and requests by HAProxy."
_ALIAS = "Another name of tenantry for clients that ask for it unless told otherwise."
PROVIDERS: Mapping[str, str] = {PROVIDER: DESCRIPTION, "amphora": _ALIAS, "octavia": _ALIAS}
"""Names and descriptions. Octavia's own default has the other two names, so that clients send
them: cloud-provider-openstack does."""


class Capability(NamedTuple):
    """What may be asked for, and of which values."""

    description: str
    takes: Callable[[Any], bool]


def _are_ids(value: Any) -> bool:
    return isinstance(value, list) and validators.validate_uuid_list(value) is None


VALID_VIP_NETWORKS = "valid_vip_networks"

OF_FLAVORS: Mapping[str, Capability] = {
    "loadbalancer_topology": Capability(
        "SINGLE or ACTIVE_STANDBY. Either is had by all: connections are balanced on every switch"
        " and a proxy whose host dies is taken over by another host.",
        ("SINGLE", "ACTIVE_STANDBY").__contains__,
    ),
}
OF_ZONES: Mapping[str, Capability] = {
    VALID_VIP_NETWORKS: Capability("A list of the ids of networks that VIPs may be in.", _are_ids),
}


def check_provider(name: str) -> None:
    """Errors: ProviderNotEnabled."""
    if name not in PROVIDERS:
        raise ProviderNotEnabled(prov=name)


def parse_data(option: str, text: str, capabilities: Mapping[str, Capability]) -> Body:
    """What a profile asks for, from its JSON. Errors: InvalidOption, if that is no object;
    UnsupportedOptionError."""
    try:
        data = json.loads(text)
    except ValueError as error:
        raise InvalidOption(value=text, option=option) from error
    if not isinstance(data, dict):
        raise InvalidOption(value=text, option=option)
    for name, value in data.items():
        if name not in capabilities:
            raise unsupported(f"{name} is none of {', '.join(capabilities)}.")
        if not capabilities[name].takes(value):
            raise unsupported(
                f"{name} cannot be {json.dumps(value)}. {capabilities[name].description}"
            )
    return data


# --- in the API ---------------------------------------------------------------------------------

Said = Mapping[str, list[str]]
"""The query of a GET."""


def _listed(said: Said, named: Mapping[str, str]) -> list[Body]:
    """Names and descriptions, those that are asked for."""
    items = [{"name": name, "description": words} for name, words in named.items()]
    fields = said.get("fields") or ["name", "description"]
    return [
        {field: item[field] for field in item if field in fields}
        for item in items
        if all(item[name] in said.get(name, [item[name]]) for name in item)
    ]


def _providers(store: Store, context: Context, said: Said) -> tuple[int, Body]:
    return 200, {"providers": _listed(said, PROVIDERS)}


def _capabilities(
    collection: str, capabilities: Mapping[str, Capability], said: Said, provider: str
) -> tuple[int, Body]:
    check_provider(provider)
    described = {name: each.description for name, each in capabilities.items()}
    return 200, {collection: _listed(said, described)}


def _of_flavors(store: Store, context: Context, said: Said, provider: str) -> tuple[int, Body]:
    return _capabilities("flavor_capabilities", OF_FLAVORS, said, provider)


def _of_zones(store: Store, context: Context, said: Said, provider: str) -> tuple[int, Body]:
    return _capabilities("availability_zone_capabilities", OF_ZONES, said, provider)


def _no_amphorae(store: Store, context: Context, said: Said) -> tuple[int, Body]:
    return 200, {"amphorae": [], "amphorae_links": []}


def _no_amphora(store: Store, context: Context, said: Any, id: str) -> tuple[int, Body]:
    """Connections are balanced without machines."""
    raise NotFound(resource="Amphora", id=id)


_MACHINES = replace(OCTAVIA, path=OCTAVIA.path.replace("/lbaas", "/octavia"))
"""Where Octavia's amphorae are."""

_OF_AMPHORAE = (
    ("GET", "", "list", _no_amphorae),
    ("GET", "/{id}", "get", _no_amphora),
    ("GET", "/{id}/stats", "stats", _no_amphora),
    ("PUT", "/{id}/config", "config", _no_amphora),
    ("PUT", "/{id}/failover", "failover", _no_amphora),
    ("DELETE", "/{id}", "delete", _no_amphora),
)
_OF_PROVIDERS = (
    ("", "provider", _providers),
    ("/{provider}/flavor_capabilities", "provider-flavor", _of_flavors),
    ("/{provider}/availability_zone_capabilities", "provider-availability-zone", _of_zones),
)

ROUTES = (
    *(
        ApiRoute("GET", f"providers{below}", rule("list", kind), answer, service=OCTAVIA)
        for below, kind, answer in _OF_PROVIDERS
    ),
    *(
        ApiRoute(method, f"amphorae{below}", rule(verb, "amphora"), answer, service=_MACHINES)
        for method, below, verb, answer in _OF_AMPHORAE
    ),
)

POLICIES = (
    *(
        policy
        for below, kind, _ in _OF_PROVIDERS
        for policy in of_kind(kind, f"/providers{below}", {"list": ADMIN if below else READ})
    ),
    *(
        policies.rule(rule(verb, "amphora"), ADMIN, method, f"/v2/octavia/amphorae{below}")
        for method, below, verb, _ in _OF_AMPHORAE
    ),
)
