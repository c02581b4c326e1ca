# SPDX-License-Identifier: Apache-2.0

"""The values a store deals in, and the ways in which a write can fail."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Protocol, TypeAlias

Body: TypeAlias = dict[str, Any]
"""A resource, as JSON has it. Never changed in place once it is in a draft: make a new one."""


def project_of(body: Body) -> str:
    """Whose a resource is; empty if it belongs to no project."""
    project: str = body.get("project_id", "")
    return project


class Claim(NamedTuple):
    """Something of which there is only one: a MAC address on a network, a VLAN id on a wire.

    In a ``scope``, a ``value`` has at most one owner, whatever the kinds of the resources are.
    """

    kind: str
    scope: str
    value: str


class Link(NamedTuple):
    """The resource that carries the link needs ``target``, which therefore cannot be deleted.

    ``role`` says as what the target sees it: the ports of a network have role ``port``.
    """

    target: str
    role: str


class Shape(Protocol):
    """What the bodies of one kind claim and link, and what they are parts of: pure functions."""

    def claims(self, body: Body) -> Iterable[Claim]: ...

    def links(self, body: Body) -> Iterable[Link]: ...

    def wholes(self, body: Body) -> Iterable[tuple[str, str]]:
        """Kind and id of what is another when this comes, changes or goes."""
        ...

    def revised(self, body: Body) -> Body:
        """The next version of a body of which a part has changed."""
        ...


@dataclass(frozen=True, slots=True)
class Change:
    """One resource before and after; None where it does not exist."""

    kind: str
    id: str
    before: Body | None
    after: Body | None


@dataclass(frozen=True, slots=True)
class Commit:
    """Changes that happened together. Numbers have no gaps; commit 0 is the empty store."""

    number: int
    time: datetime
    actor: str
    changes: tuple[Change, ...]


class StoreError(Exception):
    """The database cannot be used; the message says why, and what to do."""


class Unavailable(Exception):
    """The database cannot be read or written for now; the message has its own words."""


class Gone(Unavailable):
    """The database's file was removed, or replaced, while it was in use."""


class StaleDraft(Exception):
    """Another process has written first."""


class ClaimTaken(Exception):
    """Somebody else owns what a body claims."""

    def __init__(self, claim: Claim, owner: str) -> None:
        super().__init__(f"{claim.kind} {claim.value} in {claim.scope} belongs to {owner}")
        self.claim = claim
        self.owner = owner


class LinkBroken(Exception):
    """A link's target would not exist: it never did (no ``users``), or is to be deleted in use."""

    def __init__(self, target: str, users: Iterable[str] = ()) -> None:
        self.target = target
        self.users = tuple(users)
        super().__init__(
            f"{target} is in use by {', '.join(self.users)}"
            if self.users
            else f"{target} does not exist"
        )
