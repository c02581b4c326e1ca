# SPDX-License-Identifier: Apache-2.0

"""Which types of rules there are, which of them can be kept, and which values they may have:
``/v2.0/qos/rule-types``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from neutron_lib import exceptions
from neutron_lib.api import converters
from neutron_lib.api.definitions.qos_rule_type_filter import (
    QOS_RULE_TYPE_ALL_RULES,
    QOS_RULE_TYPE_ALL_SUPPORTED,
)

from tenantry.apps.qos import rules, users
from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import ApiRoute, Reader
from tenantry.controller.store import Store

_PATH, _RULE = "qos/rule-types", "get_rule_type"
_FLAGS = (QOS_RULE_TYPE_ALL_RULES, QOS_RULE_TYPE_ALL_SUPPORTED)

Said = Mapping[str, list[str]]


class QosRuleTypeNotFound(exceptions.NotFound):
    message = "QoS rule type %(type)s could not be found."


def index(store: Store, context: Context, said: Said) -> tuple[int, Any]:
    """The types that can be kept, somewhere at least; with ``all_rules``, all."""
    unknown = sorted(said.keys() - {"type", "fields", *_FLAGS})
    if unknown:
        raise exceptions.InvalidInput(error_message=f"{unknown} is invalid attribute for filtering")
    flags = {name: converters.convert_to_boolean(said[name][-1]) for name in _FLAGS if name in said}
    types = rules.TYPES if flags.get(QOS_RULE_TYPE_ALL_RULES) else supported(store)
    wanted = [type for type in types if type in said.get("type", types)]
    return 200, {"rule_types": [{"type": type} for type in wanted]}


def show(store: Store, context: Context, said: Said, type: str) -> tuple[int, Any]:
    """What rules of a type may say; as in Neutron, for admins."""
    if not context.is_admin:
        raise exceptions.NotAuthorized()
    if type not in supported(store):
        raise QosRuleTypeNotFound(type=type)
    driver = {"name": "tenantry", "supported_parameters": list(_parameters(type))}
    return 200, {"rule_type": {"type": type, "drivers": [driver]}}


def supported(reader: Reader) -> list[str]:
    """The types that can be kept, somewhere at least."""
    return [type for type in rules.TYPES if users.can_be_kept(reader, type)]


def _parameters(type: str) -> Iterator[dict[str, Any]]:
    for name, spec in rules.attributes(type).items():
        validate = spec.get("validate", {})
        of: dict[str, Any] = {"parameter_name": name}
        if "type:range" in validate:
            ends = dict(zip(("start", "end"), validate["type:range"], strict=True))
            yield {**of, "parameter_type": "range", "parameter_values": ends}
        elif "type:values" in validate:
            yield {**of, "parameter_type": "choices", "parameter_values": validate["type:values"]}


ROUTES = (
    ApiRoute("GET", _PATH, _RULE, index),
    ApiRoute("GET", f"{_PATH}/{{type}}", _RULE, show),
)
