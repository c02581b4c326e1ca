# SPDX-License-Identifier: Apache-2.0

"""The rules of policies in the API: five types, each a kind of its own, part of its policy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from neutron_lib.api.definitions import (
    qos,
    qos_bw_limit_direction,
    qos_bw_minimum_ingress,
    qos_pps_minimum_rule,
    qos_pps_rule,
)
from neutron_lib.exceptions import qos as errors

from tenantry.controller.feature.extension import Reader, ResourceSpec
from tenantry.controller.store import Body

POLICY = "policy"
POLICY_ID = "policy_id"

BANDWIDTH_LIMIT, PACKET_RATE_LIMIT = "bandwidth_limit", "packet_rate_limit"
DSCP_MARKING = "dscp_marking"
MINIMUM_BANDWIDTH, MINIMUM_PACKET_RATE = "minimum_bandwidth", "minimum_packet_rate"

_MAPS: Mapping[str, tuple[Any, ...]] = {
    BANDWIDTH_LIMIT: (qos, qos_bw_limit_direction),
    PACKET_RATE_LIMIT: (qos_pps_rule,),
    DSCP_MARKING: (qos,),
    MINIMUM_BANDWIDTH: (qos, qos_bw_minimum_ingress),
    MINIMUM_PACKET_RATE: (qos_pps_minimum_rule,),
}
"""By type: where neutron-lib says which attributes its rules have."""

TYPES = tuple(_MAPS)


def kind(type: str) -> str:
    """The kind of the rules of a type, and the role in which a policy sees them."""
    return f"{type}_rule"


def rules_in(reader: Reader, policy_id: str) -> Iterator[tuple[str, Body]]:
    """The rules of a policy, each with its type."""
    for type in TYPES:
        for id in reader.linked(policy_id, kind(type)):
            rule = reader.get(kind(type), id)
            if rule is not None:
                yield type, rule


def shown(type: str, rule: Body) -> Body:
    """A rule as its policy shows it."""
    names = ("id", *(name for name in attributes(type) if name in rule))
    own = {name: rule[name] for name in names if name not in _HIDDEN}
    return {**own, "qos_policy_id": rule[POLICY_ID], "type": type}


_HIDDEN: dict[str, dict[str, Any]] = {
    "tenant_id": {
        "allow_post": True,
        "allow_put": False,
        "is_visible": False,
        "required_by_policy": True,
        "validate": {"type:string": 255},
    }
}


def attributes(type: str) -> dict[str, dict[str, Any]]:
    """Those of a rule."""
    found: dict[str, dict[str, Any]] = {}
    for definition in _MAPS[type]:
        parameters = definition.SUB_RESOURCE_ATTRIBUTE_MAP[f"{kind(type)}s"]["parameters"]
        for name, spec in parameters.items():
            found[name] = {**found.get(name, {}), **spec}
    return {**found, **_HIDDEN}


def _spec(type: str) -> ResourceSpec:
    return ResourceSpec(
        name=kind(type),
        collection=f"{kind(type)}s",
        attributes=attributes(type),
        not_found=lambda id: errors.QosRuleNotFound(policy_id="", rule_id=id),
        parent=POLICY,
        standard=(),
        alias="" if type == PACKET_RATE_LIMIT else f"qos/alias_{kind(type)}s",  # as in Neutron
    )


KINDS = tuple(map(_spec, TYPES))
