# SPDX-License-Identifier: Apache-2.0

"""What a feature may add to the API: the one module of this package that apps import.

Networks, subnets and ports are made of the same parts: a kind is an attribute map and the rules
of every feature that has a say in it. Rules work on drafts only; they never write, and they hold
no state that a draft depends on, save what they give back by way of ``draft.undo``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Protocol, TypeAlias

from neutron_lib import exceptions
from neutron_lib.constants import ATTR_NOT_SPECIFIED
from oslo_policy.policy import RuleDefault

from tenantry.controller.feature.context import Context
from tenantry.controller.feature.service import Service
from tenantry.controller.store import Body, Claim, Commit, Draft, Link, Store

AttributeMap: TypeAlias = Mapping[str, Mapping[str, Any]]
"""Attributes of one collection, in the notation of ``neutron_lib.api.definitions``."""


class Definition(Protocol):
    """A Neutron API extension. The modules of ``neutron_lib.api.definitions`` are such."""

    @property
    def ALIAS(self) -> str: ...
    @property
    def NAME(self) -> str: ...
    @property
    def DESCRIPTION(self) -> str: ...
    @property
    def UPDATED_TIMESTAMP(self) -> str: ...
    @property
    def RESOURCE_ATTRIBUTE_MAP(self) -> Mapping[str, AttributeMap]: ...


class Reader(Protocol):
    """What a store and a draft have in common."""

    def get(self, kind: str, id: str) -> Body | None: ...

    def owner(self, claim: Claim) -> str | None: ...

    def claimed(self, kind: str, scope: str) -> Mapping[str, str]: ...

    def linked(self, target: str, role: str) -> Collection[str]: ...

    def count(self, kind: str, project_id: str) -> int: ...


class Maker(Protocol):
    """What makes, changes and shows resources of a kind, with the rules of all features."""

    @property
    def name(self) -> str: ...

    def parse_new(self, context: Context, request: Body) -> Body: ...

    def make(
        self, draft: Draft, context: Context, attributes: Body, whole: Body | None = None
    ) -> Body: ...

    def update(self, draft: Draft, context: Context, before: Body, changes: Body) -> Body: ...

    def delete(self, draft: Draft, context: Context, body: Body) -> None: ...

    @property
    def actions(self) -> Mapping[str, Action]: ...

    def check_quota(self, draft: Draft, project_id: str, more: int = 1) -> None: ...

    def shown(self, reader: Reader, context: Context, body: Body) -> Body: ...

    def may_see(self, reader: Reader, context: Context, body: Body) -> bool: ...

    def owns(self, reader: Reader, context: Context, body: Body) -> bool: ...

    @property
    def not_found(self) -> Callable[[str], Exception]: ...


class ResourceHooks:
    """What one feature has to say about one kind. It overrides what it needs.

    ``kinds`` are all kinds by name, for rules that make resources of another kind.

    A body holds every attribute of the kind; in :meth:`create` one that the request left out, and
    that has no default, is ATTR_NOT_SPECIFIED, and becomes None if no feature fills it in. The
    errors to raise are Neutron's. Values in a body are replaced, never changed in place.
    """

    kinds: Mapping[str, Maker]

    overrides: Collection[str] = ()
    """Attributes that are stored, and that :meth:`present` may show otherwise. Lists are filtered
    and sorted by all others as they are stored, which is ten times as fast."""

    def project(self, reader: Reader, body: Body) -> str | None:
        """Whose a new one will be, if it is for what it belongs to to say. Errors: that there is no
        such thing."""
        return None

    def create(self, draft: Draft, context: Context, body: Body) -> None:
        """Check and complete ``body``."""

    def created(self, draft: Draft, body: Body) -> None:
        """``body`` is in the draft; change what else must change with it."""

    def update(self, draft: Draft, context: Context, before: Body, body: Body) -> None:
        """Check and complete ``body``, which is ``before`` with the request's attributes."""

    def delete(self, draft: Draft, context: Context, body: Body) -> None:
        """Refuse if in use; delete what goes with it."""

    def claims(self, body: Body) -> Iterable[Claim]:
        """What a body wants for itself alone. Pure."""
        return ()

    def links(self, body: Body) -> Iterable[Link]:
        """What a body needs to exist. Pure."""
        return ()

    def wholes(self, body: Body) -> Iterable[tuple[str, str]]:
        """Kind and id of what a body is a part of: that is revised when a part comes, changes or
        goes. Pure."""
        return ()

    def taken(self, claim: Claim, body: Body) -> Exception | None:
        """The error for a claim of :meth:`claims` that another resource has."""
        return None

    def owns(self, reader: Reader, context: Context, body: Body) -> bool:
        """Whether the caller may change a resource of another project as if it were theirs."""
        return False

    def may_see(self, reader: Reader, context: Context, body: Body) -> bool:
        """Whether the caller may see a resource that they may not change."""
        return False

    def before_list(self, store: Store, context: Context, project_id: str) -> None:
        """Make what a caller expects to see of a project, their own or that they ask for, without
        anybody's having asked for it."""

    def present(self, reader: Reader, context: Context, body: Body, shown: Body) -> None:
        """Add computed attributes to ``shown``, a copy of the body's visible attributes, as the
        caller sees them."""


Action: TypeAlias = Callable[[Draft, Context, Body, Any], Any]
"""``action(draft, context, body, request)`` changes the draft as the JSON of the request asks for a
resource, and answers what to return as JSON. It is given only what the caller owns."""


class Sight(Protocol):
    """What the view of a resource is made of."""

    @property
    def reader(self) -> Reader: ...

    def shown(self, kind: str, body: Body) -> Body:
        """A resource as a GET shows it."""

    def seen(self, what: str, body: Body) -> Mapping[str, Any]:
        """What is observed of a resource: by its kind, or KIND/NAME (see ``Parts.observed``)."""


View: TypeAlias = Callable[[Sight, Body], Any]
"""What there is to be seen of a resource beside itself, as JSON."""

Batch: TypeAlias = Callable[[Draft, Context, Body, list[Body], bool], None]
"""``batch(draft, context, whole, items, additive)`` makes the parts of something what a request
says; if it is only ``additive``, others stay."""

Cascade: TypeAlias = Callable[[Draft, Context, Body], None]
"""Deletes what is part of a resource that is about to go."""


TAGGED = ("description", "timestamp", "revisions", "tag")
REVISED = TAGGED[:-1]


@dataclass(frozen=True)
class ResourceSpec:
    """A kind of resource that an extension brings: its collection's URL is ``/v2.0/COLLECTION``,
    with dashes for underscores, or ``path`` behind ``/v2.0/`` (``/tenantry/v1/...`` is for what
    Neutron has no words for). With a ``parent``, the name of
    another kind, it is part of one of those: ``/v2.0/PARENTS/ID/COLLECTION``, and its body has the
    parent's id as ``PARENT_id``.

    Each gets a small integer ``key`` from ``keys``, unique in its kind and hidden from the API:
    what a register or a tunnel header carries in place of the id. ``actions`` by name are what can
    be done to one besides updating it: ``PUT /v2.0/COLLECTION/ID/NAME``. What is ``internal`` has
    no URL: rules keep it for themselves. ``blank`` are the changes that a PUT of nothing means. A
    project may have ``quota`` of them if nobody says otherwise (-1: any number); None is for what
    belongs to no project.
    ``standard`` are the attributes that it has of those that many kinds have, by the last words of
    the extensions ``standard-attr-...``: REVISED, TAGGED, or what Neutron's has.

    No two kinds of one ``key_space`` (the name of one of them) have the same key. What is
    ``named_by`` an attribute has that for an ID in its URL, once, or once in each parent.
    With an ``alias`` it is also at ``/v2.0/ALIAS/ID``, where nobody need know of what it is a part.

    What is of another ``service`` is at that service's path, and called ``singular`` in bodies, and
    ``rule`` by policies, if not by its name. It has ``views`` by name, at ``COLLECTION/ID/NAME``;
    ``created`` is what the answer to a POST shows, if not what a GET does. With a ``batch``, a PUT
    of the collection changes all of it; with a ``cascade``, a DELETE may say ``cascade=true``.
    """

    name: str
    collection: str
    attributes: AttributeMap
    not_found: Callable[[str], Exception]
    keys: range | None = None
    actions: Mapping[str, Action] = field(default_factory=dict)
    path: str = ""
    parent: str = ""
    internal: bool = False
    quota: int | None = -1
    standard: tuple[str, ...] = REVISED
    key_space: str = ""
    named_by: str = ""
    alias: str = ""
    blank: Mapping[str, Any] = field(default_factory=dict)
    service: Service | None = None
    singular: str = ""
    rule: str = ""
    views: Mapping[str, View] = field(default_factory=dict)
    created: View | None = None
    batch: Batch | None = None
    cascade: Cascade | None = None


@dataclass(frozen=True)
class NewDefinition:
    """A :class:`Definition` that neutron-lib does not have."""

    ALIAS: str
    NAME: str
    DESCRIPTION: str
    UPDATED_TIMESTAMP: str
    RESOURCE_ATTRIBUTE_MAP: Mapping[str, AttributeMap] = field(default_factory=dict)

    @classmethod
    def instead(cls, theirs: Definition, attributes: Mapping[str, AttributeMap]) -> NewDefinition:
        """What neutron-lib has, with other attributes: those of Neutron's own tree, say."""
        said = (theirs.ALIAS, theirs.NAME, theirs.DESCRIPTION, theirs.UPDATED_TIMESTAMP)
        return cls(*said, attributes)


Listed: TypeAlias = Callable[[Store, Context], Iterable[Body]]
"""The items of a list that is made of what is stored, as far as the caller may see them."""


@dataclass(frozen=True)
class ApiRoute:
    """A request that is not one of those that every kind has: ``METHOD /v2.0/PATH``, in which
    ``{NAME}`` stands for one segment. ``answer(store, context, said, **names)`` is its status and
    what to return as JSON; ``said`` is the JSON of the request, or, of a GET, the values in its
    query by name. ``rule`` is that of who may ask, of the ``project_id`` in the path, or else of
    the caller's own. It is at the path of another ``service``, if that is said."""

    method: str
    path: str
    rule: str
    answer: Callable[..., tuple[int, Any]]
    service: Service | None = None


@dataclass(frozen=True)
class Extension:
    """A feature's part in the API.

    ``definitions`` are listed under ``/v2.0/extensions`` and their attribute maps merged into the
    kinds. ``rules`` by kind run after those of extensions that come earlier. ``committed`` is
    told of every commit, for rules that keep a place to go on from. ``lists`` by path are made of
    what is stored, and can only be listed. ``routes`` are answered besides. ``upgrade`` brings what
    earlier versions stored up to date, once, before anything is asked for. ``policies`` are who may
    do what to all this.
    """

    definitions: tuple[Definition, ...] = ()
    kinds: tuple[ResourceSpec, ...] = ()
    rules: Mapping[str, ResourceHooks] = field(default_factory=dict)
    committed: Callable[[Commit], None] | None = None
    lists: Mapping[str, Listed] = field(default_factory=dict)
    routes: tuple[ApiRoute, ...] = ()
    upgrade: Callable[[Store], None] | None = None
    policies: tuple[RuleDefault, ...] = ()


SYSTEM = Context(project_id="", actor="tenantry", is_admin=True)
"""Who makes what belongs to no project."""


RBAC_POLICY = "rbac_policy"
"""The kind of resource that gives a project, or EVERYBODY, access to another: to use it
(ACCESS_SHARED), or a network for gateways of routers and for floating IPs (ACCESS_EXTERNAL)."""

EVERYBODY = "*"
ACCESS_SHARED, ACCESS_EXTERNAL = "access_as_shared", "access_as_external"


class RbacPolicyInUse(exceptions.Conflict):
    message = (
        "RBAC policy on object %(object_id)s cannot be removed because other objects depend on it."
        "\nDetails: %(details)s"
    )


def access(id: str, target: str, action: str = ACCESS_SHARED) -> Claim:
    """What a policy claims that gives a project, or EVERYBODY, access to a resource."""
    return Claim("rbac" if action == ACCESS_SHARED else action, id, target)


def granted(reader: Reader, project_id: str, id: str, action: str = ACCESS_SHARED) -> bool:
    """Whether a policy gives a project access to a resource."""
    targets = (project_id, EVERYBODY)
    return any(reader.owner(access(id, target, action)) is not None for target in targets)


def may_use(reader: Reader, context: Context, body: Body, *more: str) -> bool:
    """Whether a resource is the caller's, or was shared with the caller; or the caller was given
    access to it by one of ``more`` actions."""
    return (
        context.owns(body)
        or bool(body.get("shared"))
        or any(granted(reader, context.project_id, body["id"], a) for a in (ACCESS_SHARED, *more))
    )


def give_to_everybody(draft: Draft, policies: Maker, kind: str, body: Body, action: str) -> None:
    """Make the policy that gives every project access to a resource, unless there is one."""
    if draft.owner(access(body["id"], EVERYBODY, action)) is None:
        project = {"tenant_id": body["project_id"], "project_id": body["project_id"]}
        of = {"object_type": kind, "object_id": body["id"], "target_tenant": EVERYBODY}
        policies.make(draft, SYSTEM, {**of, **project, "action": action})


def claimant(reader: Reader, kind: str, claim: Claim) -> Body | None:
    """The resource of a kind that has a claim."""
    id = reader.owner(claim)
    return reader.get(kind, id) if id is not None else None


def is_set(value: object) -> bool:
    """Whether the request set an attribute, to anything but null."""
    return value is not None and value is not ATTR_NOT_SPECIFIED


def timestamp() -> str:
    """Now, as Neutron writes it."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def changed(body: Body, **attributes: Any) -> Body:
    """A new version of ``body`` with these attributes."""
    version = {"revision_number": body["revision_number"] + 1, "updated_at": timestamp()}
    return {**body, **attributes, **version}
