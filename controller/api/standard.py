# SPDX-License-Identifier: Apache-2.0

"""Attributes that many kinds have, and the names of what the generic layer does.

Neutron keeps these definitions in its own tree rather than in neutron-lib.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from neutron_lib.api.definitions import (
    empty_string_filtering,
    filter_validation,
    pagination,
    project_id,
    revisionifmatch,
    sort_key_validation,
    sorting,
    tag_creation,
)
from neutron_lib.db.constants import DESCRIPTION_FIELD_SIZE

from tenantry.controller.feature.extension import AttributeMap, Definition, Extension

MAX_TAG_LENGTH = 255

_SHOWN = {"allow_post": False, "allow_put": False, "is_visible": True}
_FILTER = {"allow_post": False, "allow_put": False, "is_visible": False, "is_filter": True}


@dataclass(frozen=True)
class _Standard:
    """A definition whose attributes the kinds have that say so."""

    ALIAS: str
    NAME: str
    DESCRIPTION: str
    UPDATED_TIMESTAMP: str
    attributes: AttributeMap

    @property
    def RESOURCE_ATTRIBUTE_MAP(self) -> Mapping[str, AttributeMap]:
        return {}


_STANDARD = (
    _Standard(
        "standard-attr-description",
        "standard-attr-description",
        "Extension to add descriptions to standard attributes",
        "2016-02-10T10:00:00-00:00",
        {
            "description": {
                "allow_post": True,
                "allow_put": True,
                "validate": {"type:string": DESCRIPTION_FIELD_SIZE},
                "is_visible": True,
                "is_filter": True,
                "default": "",
            }
        },
    ),
    _Standard(
        "standard-attr-timestamp",
        "Resource timestamps",
        "Adds created_at and updated_at fields to all Neutron resources that have Neutron "
        "standard attributes.",
        "2016-09-12T10:00:00-00:00",
        {
            "created_at": {**_SHOWN, "is_filter": True, "is_sort_key": True},
            "updated_at": {**_SHOWN, "is_filter": True, "is_sort_key": True},
            "changed_since": _FILTER,
        },
    ),
    _Standard(
        "standard-attr-revisions",
        "Resource revision numbers",
        "This extension will display the revision number of neutron resources.",
        "2016-04-11T10:00:00-00:00",
        {"revision_number": {**_SHOWN, "is_filter": True, "is_sort_key": True}},
    ),
    _Standard(
        "standard-attr-tag",
        "Tag support for resources with standard attribute",
        "Enables to set tag on resources with standard attribute.",
        "2017-01-01T00:00:00-00:00",
        {
            "tags": {**_SHOWN, "is_filter": True},
            "tags-any": _FILTER,
            "not-tags": _FILTER,
            "not-tags-any": _FILTER,
        },
    ),
)

_BY_NAME = {definition.ALIAS.rpartition("-")[2]: definition for definition in _STANDARD}


def attributes(names: Iterable[str]) -> dict[str, Mapping[str, Any]]:
    """Those of a kind that has these."""
    return {attr: spec for name in names for attr, spec in _BY_NAME[name].attributes.items()}


_GENERIC: tuple[Definition, ...] = (
    empty_string_filtering,
    filter_validation,
    pagination,
    project_id,
    revisionifmatch,
    sort_key_validation,
    sorting,
    tag_creation,
)

EXTENSION = Extension(definitions=(*_STANDARD, *_GENERIC))
