# SPDX-License-Identifier: Apache-2.0

"""What a list request asks for: filters, sorting, paging. Neutron's parameters, Neutron's 400s."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from itertools import islice
from typing import Any, TypeAlias
from urllib.parse import urlencode

from neutron_lib import exceptions
from neutron_lib.api.converters import (
    convert_ip_to_canonical_format,
    convert_kvp_list_to_dict,
    convert_to_boolean,
)
from webob import Request
from webob.exc import HTTPBadRequest

from tenantry.controller import runtime
from tenantry.controller.api.faults import MALFORMED
from tenantry.controller.feature.extension import AttributeMap
from tenantry.controller.store import Body

Test: TypeAlias = Callable[[Any], bool]
"""Whether the value of an attribute passes a filter."""

_NOT_FILTERS = frozenset({"fields", "sort_key", "sort_dir", "limit", "marker", "page_reverse"})


class Query:
    """The query string of a request to list what has these attributes."""

    always_links = False
    """Whether it is said where other pages are if nobody asked for pages."""

    def __init__(self, request: Request, attributes: AttributeMap) -> None:
        self._params = request.GET.dict_of_lists()
        self._path_url: str = request.path_url
        self.fields: list[str] = [name for name in self._params.get("fields", ()) if name]
        self.filters: list[tuple[str, Test]] = self._parse_filters(attributes)
        """Attribute and test; an item is listed if it passes all."""
        self.project = self._last("project_id") or self._last("tenant_id")
        self._sorts = self._parse_sorts(attributes)
        self._limit = self._parse_limit()
        self.marker: str | None = self._last("marker") if self._limit else None
        self._reverse = (self._last("page_reverse") or "").lower() == "true"

    def _last(self, name: str) -> str | None:
        values: list[str] = self._params.get(name, [])
        return values[-1] if values else None

    def _parse_filters(self, attributes: AttributeMap) -> list[tuple[str, Test]]:
        wanted = {name: v for name, v in self._params.items() if name not in _NOT_FILTERS}
        unknown = [name for name in wanted if not attributes.get(name, {}).get("is_filter")]
        if unknown:
            raise HTTPBadRequest(f"{unknown} is invalid attribute for filtering")
        if "tenant_id" in wanted and "project_id" in wanted:
            raise exceptions.TenantIdProjectIdFilterConflict()
        return [filter_of(attributes, name, values) for name, values in wanted.items()]

    def _parse_sorts(self, attributes: AttributeMap) -> list[tuple[str, bool]]:
        """Attributes to sort by, and whether descending."""
        keys = [key for key in self._params.get("sort_key", ()) if key]
        directions = [direction for direction in self._params.get("sort_dir", ()) if direction]
        if len(keys) != len(directions):
            raise HTTPBadRequest("The number of sort_keys and sort_dirs must be same")
        wrong = [key for key in keys if not attributes.get(key, {}).get("is_sort_key")]
        if wrong:
            raise HTTPBadRequest(f"{wrong} is invalid attribute for sort_keys")
        wrong = [direction for direction in directions if direction not in ("asc", "desc")]
        if wrong:
            raise HTTPBadRequest(
                f"{wrong} is invalid value for sort_dirs, valid value is 'asc' and 'desc'"
            )
        return [(k, d == "desc") for k, d in zip(keys, directions, strict=True)]

    def _parse_limit(self) -> int:
        """Items a page; 0 is all of them."""
        text = self._last("limit") or "0"
        if not (text.isascii() and text.isdigit() and len(text) < 10):
            raise exceptions.BadRequest(
                resource="limit", msg=f"Limit must be an integer 0 or greater and not '{text}'"
            )
        return int(text)

    def answer(
        self,
        collection: str,
        items: list[Body],
        show: Callable[[Body], Body | None],
        value: Callable[[Body, str], Any] = Body.get,
    ) -> Body:
        """What a GET of ``collection`` answers, of the ``items`` that pass the filters: in the
        order asked for, and of a page no more than is on it.

        ``value(item, name)`` is what an item has as the attribute of this name. ``show(item)``
        makes of an item what is listed of it, or None if it is not to be listed after all; it is
        called when the item is about to be written."""
        walk = runtime.paced(self._walk(self._sorted(items, value)))
        listed = ((item, shown) for item in walk if (shown := show(item)) is not None)
        if not self._limit:
            links: Body = {f"{collection}_links": []} if self.always_links else {}
            return {collection: (shown for _, shown in listed), **links}
        page = [*islice(listed, self._limit)]
        if self._reverse:
            page.reverse()
        return {
            collection: [shown for _, shown in page],
            f"{collection}_links": self._links([item["id"] for item, _ in page]),
        }

    def _sorted(self, items: list[Body], value: Callable[[Body, str], Any]) -> list[Body]:
        """Pages need an order that is the same every time."""
        if self._limit:
            items = sorted(items, key=lambda item: item["id"])
        for name, descending in reversed(self._sorts):
            keys = [_sort_key(value(item, name)) for item in runtime.paced(items)]
            order = sorted(range(len(items)), key=keys.__getitem__, reverse=descending)
            items = [items[number] for number in order]
        return items

    def _walk(self, items: list[Body]) -> list[Body]:
        """The items, sorted, from the marker on, in the direction in which the page is filled."""
        if not self._limit:
            return items
        at = next((n for n, item in enumerate(items) if item["id"] == self.marker), None)
        if self._reverse:
            return items[:at][::-1]
        return items if at is None else items[at + 1 :]

    def _links(self, page: list[str]) -> list[dict[str, str]]:
        """Where the next and the previous page of one with these ids are."""
        full = len(page) >= self._limit
        links = []
        if full or self._reverse:
            links.append({"rel": "next", "href": self._href(page[-1:], reverse=False)})
        if full or not self._reverse:
            links.append({"rel": "previous", "href": self._href(page[:1], reverse=True)})
        return links

    def _href(self, marker: list[str], reverse: bool) -> str:
        params = {k: v for k, v in self._params.items() if k not in ("marker", "page_reverse")}
        params["marker"] = marker
        params["page_reverse"] = ["True"] if reverse else []
        return f"{self._path_url}?{urlencode(params, doseq=True)}"


def _sort_key(value: Any) -> tuple[bool, Any]:
    """Nothing sorts before anything; what has parts, by how it is written."""
    if isinstance(value, list):
        value = [str(part) for part in value]
    elif isinstance(value, dict):
        value = str(value)
    return (False, 0) if value is None else (True, value)


def filter_of(attributes: AttributeMap, name: str, values: list[str]) -> tuple[str, Test]:
    """The attribute that a parameter is about, and what its value must be."""
    if name in _TAG_TESTS:
        wanted = {tag for value in values for tag in value.split(",")}
        test = _TAG_TESTS[name]
        return "tags", lambda tags: test(wanted, set(tags))
    if name == "changed_since":
        since = _utc(values[-1])
        return "updated_at", lambda updated_at: updated_at >= since
    if name == "fixed_ips":
        return name, _fixed_ips_test(values)
    convert = _converter(attributes[name])
    try:
        converted = [convert(value) for value in values]
    except MALFORMED as error:
        raise HTTPBadRequest(
            f"Invalid input for {name}. Reason: '{', '.join(values)}' is malformed."
        ) from error
    attribute = "project_id" if name == "tenant_id" else name

    def passes(value: Any) -> bool:
        # Of a list, one is enough. A converter gives the type that the attribute has; without
        # one, numbers compare as text.
        found = value if isinstance(value, list) else [value]
        return any(one in converted or str(one) in converted for one in found)

    return attribute, passes


def _converter(attribute: Mapping[str, Any]) -> Callable[[str], Any]:
    """From the words of a query to values of an attribute."""
    if isinstance(attribute.get("default"), bool):  # also where Neutron's map names no converter
        return convert_to_boolean  # type: ignore[no-any-return]
    convert: Callable[[str], Any] = attribute.get("convert_to", str)
    return convert


def _utc(text: str) -> str:
    """A time in ISO 8601, in UTC if it names no zone, as timestamps are written."""
    try:
        time = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
        time = time.replace(tzinfo=time.tzinfo or timezone.utc).astimezone(timezone.utc)
    except (ValueError, OverflowError) as error:
        raise exceptions.InvalidInput(
            error_message=f"The input changed_since '{text}' must be in the following format: "
            "YYYY-MM-DDTHH:MM:SS[Z]"
        ) from error
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


_TAG_TESTS: dict[str, Callable[[set[str], set[str]], bool]] = {
    "tags": lambda wanted, tags: wanted <= tags,
    "tags-any": lambda wanted, tags: bool(wanted & tags),
    "not-tags": lambda wanted, tags: not wanted <= tags,
    "not-tags-any": lambda wanted, tags: not wanted & tags,
}


def _fixed_ips_test(values: list[str]) -> Test:
    wanted: dict[str, list[str]] = convert_kvp_list_to_dict(values)
    unknown = sorted(set(wanted) - {"subnet_id", "ip_address", "ip_address_substr"})
    if unknown:
        raise HTTPBadRequest(f"{unknown} is invalid attribute for filtering fixed_ips")
    substrings = wanted.pop("ip_address_substr", None)
    canonical = {
        name: {convert_ip_to_canonical_format(value) for value in allowed}
        for name, allowed in wanted.items()
    }

    def passes(ip: Body) -> bool:
        return all(ip[name] in allowed for name, allowed in canonical.items()) and (
            substrings is None or any(text.lower() in ip["ip_address"] for text in substrings)
        )

    return lambda fixed_ips: any(map(passes, fixed_ips))
