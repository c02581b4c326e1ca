# SPDX-License-Identifier: Apache-2.0

"""APIs beside Neutron's, on endpoints of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, eq=False)
class Service:
    """An API of its own, with kinds of resources of its own, beside Neutron's.

    Its endpoint is ``/NAME``, as which Keystone's catalogue knows it, too; what is there is told to
    anybody: ``versions`` makes it of the endpoint's URL. Resources are below ``path``. Who may not
    see what is there is refused, not told that nothing is.

    ``rule(verb, kind)`` is how its policies are called, of ``create``, ``get``, ``update``,
    ``delete``, ``list`` (what is of one project) and ``list_all``, and of a kind's actions and
    views. ``fault(status, message)`` is what an error looks like, as JSON. ``forbidden`` is the
    error of who may not do what a rule is about, ``over_quota`` that of who has all that they may
    have of a kind. Quotas of some kinds have ``older_names`` besides.
    """

    name: str
    path: str
    versions: Callable[[str], Any]
    rule: Callable[[str, str], str]
    fault: Callable[[int, str], Any]
    forbidden: Callable[[str], Exception]
    over_quota: Callable[[str], Exception]
    older_names: Mapping[str, str]
