# SPDX-License-Identifier: Apache-2.0

"""Metering labels and their rules in the API."""

from __future__ import annotations

from collections.abc import Iterable

import netaddr
from neutron_lib import exceptions
from neutron_lib.api.definitions import metering
from neutron_lib.api.definitions import metering_source_and_destination_filters as ends
from neutron_lib.exceptions import metering as errors

from tenantry.apps.metering.policies import POLICIES
from tenantry.apps.metering.tables import LABELS
from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import (
    Extension,
    NewDefinition,
    ResourceHooks,
    ResourceSpec,
)
from tenantry.controller.store import Body, Draft, Link

LABEL, RULE = "metering_label", "metering_label_rule"
"""Kinds; and RULE, the role in which a label sees its rules."""

REMOTE, SOURCE, DESTINATION = "remote_ip_prefix", "source_ip_prefix", "destination_ip_prefix"


class LabelHooks(ResourceHooks):
    def delete(self, draft: Draft, context: Context, body: Body) -> None:
        for id in draft.linked(body["id"], RULE):
            draft.delete(RULE, id)


class RuleHooks(ResourceHooks):
    def create(self, draft: Draft, context: Context, body: Body) -> None:
        label = draft.get(LABEL, body["metering_label_id"])
        if label is None or not context.owns(label):
            raise errors.MeteringLabelNotFound(label_id=body["metering_label_id"])
        # Whoever made it: a rule is a part of its label.
        body |= {"project_id": label["project_id"], "tenant_id": label["project_id"]}
        _check_prefixes(body)
        if body[REMOTE]:
            self._check_overlaps(draft, label, body)

    def _check_overlaps(self, draft: Draft, label: Body, body: Body) -> None:
        """Neutron compares remote prefixes alone, of the same sort of rules."""
        mine = netaddr.IPNetwork(body[REMOTE])
        for id in draft.linked(label["id"], RULE):
            other = draft.get(RULE, id)
            if other is None or any(other[n] != body[n] for n in ("direction", "excluded")):
                continue
            theirs = netaddr.IPNetwork(other[REMOTE]) if other[REMOTE] else None
            if theirs and (mine in theirs or theirs in mine):
                raise errors.MeteringLabelRuleOverlaps(remote_ip_prefix=body[REMOTE])

    def links(self, body: Body) -> Iterable[Link]:
        yield Link(body["metering_label_id"], RULE)


def _check_prefixes(body: Body) -> None:
    found: dict[str, netaddr.IPNetwork] = {}
    for name in (REMOTE, SOURCE, DESTINATION):
        try:
            if body[name]:
                found[name] = netaddr.IPNetwork(body[name])
        except (netaddr.AddrFormatError, ValueError):
            raise _bad(f"{name}: {body[name]} is no prefix; 192.0.2.0/24 is one") from None
    if REMOTE in found and len(found) > 1:
        raise _bad(f"{REMOTE} cannot be used with {SOURCE} or {DESTINATION}: use these alone")
    if not found:
        raise _bad(f"one of {REMOTE}, {SOURCE} and {DESTINATION} must be given")
    if len({prefix.version for prefix in found.values()}) > 1:
        raise _bad(f"{SOURCE} and {DESTINATION} must be of one IP version")
    body |= {name: str(prefix) for name, prefix in found.items()}


def _bad(message: str) -> Exception:
    error: Exception = exceptions.InvalidInput(error_message=message)
    return error


_ENDS = ends.SUB_RESOURCE_ATTRIBUTE_MAP[metering.METERING_LABEL_RULES]["parameters"]
_PREFIX = {"allow_put": False, "validate": {"type:string_or_none": None}}  # nothing updates rules
_OURS = {
    metering.METERING_LABEL_RULES: {name: {**said, **_PREFIX} for name, said in _ENDS.items()},
}
"""neutron-lib has these under another parent, which only Neutron's own code puts right."""


def extension() -> Extension:
    """The kinds ``metering_label`` and ``metering_label_rule``."""
    return Extension(
        policies=POLICIES,
        definitions=(metering, NewDefinition.instead(ends, _OURS)),
        kinds=(
            ResourceSpec(
                name=LABEL,
                collection=metering.METERING_LABELS,
                attributes=metering.RESOURCE_ATTRIBUTE_MAP[metering.METERING_LABELS],
                not_found=lambda id: errors.MeteringLabelNotFound(label_id=id),
                keys=LABELS,
                path="metering/metering-labels",
                standard=(),
            ),
            ResourceSpec(
                name=RULE,
                collection=metering.METERING_LABEL_RULES,
                attributes=metering.RESOURCE_ATTRIBUTE_MAP[metering.METERING_LABEL_RULES],
                not_found=lambda id: errors.MeteringLabelRuleNotFound(rule_id=id),
                path="metering/metering-label-rules",
                standard=(),
            ),
        ),
        rules={LABEL: LabelHooks(), RULE: RuleHooks()},
    )
