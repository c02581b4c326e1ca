# SPDX-License-Identifier: Apache-2.0

"""Agents: the hosts that have joined, as Neutron's API shows its agents; and the availability zones
that they make up.

A host has two: an Open vSwitch agent, and an L3 agent, to which routers are assigned. Both come and
go with the host. Nobody makes an agent: the controller does when a host tells about itself
(:func:`report`), and only an admin's words, ``admin_state_up`` and ``description``, are the API's
to change. Whether a host is ``alive``, and since when, is observed (``computed`` of
:func:`tenantry.controller.api.application.application`); where nobody observes, no agent is alive.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from neutron_lib import exceptions
from neutron_lib.api import validators
from neutron_lib.api.converters import convert_to_boolean
from neutron_lib.api.definitions import agent as definition
from neutron_lib.api.definitions import (
    agent_sort_key,
    availability_zone,
    availability_zone_filter,
)
from neutron_lib.constants import (
    AGENT_TYPE_L3,
    AGENT_TYPE_OVS,
    L3_AGENT_MODE,
    L3_AGENT_MODE_DVR_SNAT,
    L3_AGENT_SCHEDULER_EXT_ALIAS,
)
from neutron_lib.db.constants import PROJECT_ID_FIELD_SIZE
from neutron_lib.exceptions.agent import AgentNotFound, AgentNotFoundByTypeHost
from neutron_lib.exceptions.availability_zone import AvailabilityZoneNotFound

from tenantry.controller.api.kind import Kinds
from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import (
    SYSTEM,
    Extension,
    NewDefinition,
    Reader,
    ResourceHooks,
    ResourceSpec,
    claimant,
    is_set,
)
from tenantry.controller.store import Body, Claim, Draft, Store

AGENT = "agent"

AGENT_TYPES = (AGENT_TYPE_OVS, AGENT_TYPE_L3)

_HOST = "agent_host"
_AWAITED = "awaited"  # in configurations, if it is False
_UNOBSERVED = {"alive": False, "heartbeat_timestamp": None, "started_at": None}


def of_host(host: str, agent_type: str = AGENT_TYPE_OVS) -> Claim:
    """What an agent of a host claims: a host has one of each type."""
    return Claim(_HOST, "" if agent_type == AGENT_TYPE_OVS else agent_type, host)


def agent_of(reader: Reader, host: str, agent_type: str = AGENT_TYPE_OVS) -> Body | None:
    """The agent of a host."""
    return claimant(reader, AGENT, of_host(host, agent_type)) if host else None


def report(
    store: Store,
    kinds: Kinds,
    *,
    host: str,
    availability_zone: str,
    configurations: Mapping[str, Any],
) -> None:
    """What a host has told about itself, and when it joined: its agents are made or brought up to
    date; if they know all that, nothing is written.

    ``configurations`` is JSON: ``tunnel_address`` (None: no tunnels lead there),
    ``gateway_priority``, and whatever else is worth showing. InvalidInput if these two are not
    what they must be: nobody could make a record of it.
    """
    _check(host, configurations)
    kind = kinds[AGENT]

    def change(draft: Draft) -> None:
        for agent_type, configured in (
            (AGENT_TYPE_OVS, dict(configurations)),
            (AGENT_TYPE_L3, {L3_AGENT_MODE: L3_AGENT_MODE_DVR_SNAT}),
        ):
            told = {"availability_zone": availability_zone, "configurations": configured}
            before = agent_of(draft, host, agent_type)
            if before is not None:
                kind.update(draft, SYSTEM, before, told)
            else:
                kind.create(draft, SYSTEM, kind.new_body({**_new(host, agent_type), **told}))

    store.write(change, SYSTEM.actor)


class Remembered(NamedTuple):
    """A host that has joined, and has not been removed since."""

    host: str
    connection: str
    datapaths: frozenset[int]
    tunnel_address: str | None
    awaited: bool  # whether it is worth waiting for after a start


def remembered(store: Store) -> list[Remembered]:
    """Every host whose agent there is."""
    return [
        Remembered(
            body["host"],
            said["connection"],
            frozenset(int(id, 16) for id in said["datapaths"]),
            said["tunnel_address"],
            said.get(_AWAITED, True),
        )
        for body in store.read(AGENT).values()
        if body["agent_type"] == AGENT_TYPE_OVS
        for said in (body["configurations"],)
    ]


def await_no_longer(store: Store, kinds: Kinds, hosts: Collection[str]) -> None:
    """These were not back in time after a start. The next does not wait for them, until they
    :func:`report` again."""
    kind = kinds[AGENT]

    def change(draft: Draft) -> None:
        for host in hosts:
            before = agent_of(draft, host)
            if before is not None:
                told = {"configurations": {**before["configurations"], _AWAITED: False}}
                kind.update(draft, SYSTEM, before, told)

    store.write(change, SYSTEM.actor)


def forget(store: Store, host: str, actor: str = SYSTEM.actor) -> None:
    """Delete the agents of a host. AgentNotFoundByTypeHost if there are none."""

    def change(draft: Draft) -> None:
        if draft.owner(of_host(host)) is None:
            raise AgentNotFoundByTypeHost(agent_type=AGENT_TYPE_OVS, host=host)
        _delete(draft, host, AGENT_TYPES)

    store.write(change, actor)


def _delete(draft: Draft, host: str, agent_types: Iterable[str]) -> None:
    for id in [draft.owner(of_host(host, agent_type)) for agent_type in agent_types]:
        if id is not None:
            draft.delete(AGENT, id)


def _new(host: str, agent_type: str) -> Body:
    return {
        "project_id": "",
        "host": host,
        "agent_type": agent_type,
        "binary": "tenantry",
        "topic": "N/A",  # of a message queue: there is none
        "admin_state_up": True,
        "description": "",
    }


def _check(host: str, configurations: Mapping[str, Any]) -> None:
    """What a host says is not ours: it must not reach the log before somebody has looked at it."""
    address, priority = configurations.get("tunnel_address"), configurations.get("gateway_priority")
    wrong = validators.validate_ip_address_or_none(address)
    if wrong is None and type(priority) not in (int, type(None)):
        wrong = f"gateway_priority '{priority}' is not an integer"
    if wrong is not None:
        raise exceptions.InvalidInput(error_message=f"host {host}: {wrong}")


class AgentHooks(ResourceHooks):
    def create(self, draft: Draft, context: Context, body: Body) -> None:
        if context is not SYSTEM:
            raise exceptions.BadRequest(
                resource=AGENT,
                msg="an agent is a host that has joined (tenantry host invite); it cannot be "
                "created in any other way",
            )

    def delete(self, draft: Draft, context: Context, body: Body) -> None:
        """One does not go without the other."""
        _delete(draft, body["host"], {*AGENT_TYPES} - {body["agent_type"]})

    def claims(self, body: Body) -> Iterable[Claim]:
        yield of_host(body["host"], body["agent_type"])

    def present(self, reader: Reader, context: Context, body: Body, shown: Body) -> None:
        for name, value in _UNOBSERVED.items():
            shown.setdefault(name, value)


class RouterZoneHooks(ResourceHooks):
    """A router's gateways can only be asked for where there are hosts."""

    def create(self, draft: Draft, context: Context, body: Body) -> None:
        hints = body.get(availability_zone.AZ_HINTS)
        if not is_set(hints):
            return
        known = _zones(draft)
        for zone in hints or ():
            if zone not in known:
                raise AvailabilityZoneNotFound(availability_zone=zone)


def _zones(draft: Draft) -> set[str]:
    agents = (draft.get(AGENT, id) for id in draft.claimed(_HOST, "").values())
    return {agent["availability_zone"] for agent in agents if agent} - {""}


_L3_SCHEDULER = NewDefinition(
    ALIAS=L3_AGENT_SCHEDULER_EXT_ALIAS,
    NAME="L3 Agent Scheduler",
    DESCRIPTION="Schedule routers among l3 agents",
    UPDATED_TIMESTAMP="2013-02-07T10:00:00-00:00",
)

_ATTRIBUTES: dict[str, dict[str, Any]] = {
    **definition.RESOURCE_ATTRIBUTE_MAP[definition.COLLECTION_NAME],
    "alive": {"convert_to": convert_to_boolean},  # a filter: Neutron takes any word for true
    # Neutron's agents are nobody's, and do not say so; ours say what all resources do.
    "tenant_id": {
        "allow_post": True,
        "allow_put": False,
        "validate": {"type:string": PROJECT_ID_FIELD_SIZE},
        "required_by_policy": True,
        "is_visible": True,
        "is_filter": True,
    },
}


def extension() -> Extension:
    """The kind ``agent``."""
    return Extension(
        definitions=(
            *(definition, agent_sort_key, availability_zone, availability_zone_filter),
            _L3_SCHEDULER,
        ),
        kinds=(
            ResourceSpec(
                name=AGENT,
                collection=definition.COLLECTION_NAME,
                attributes=_ATTRIBUTES,
                not_found=lambda id: AgentNotFound(id=id),
                quota=None,
                standard=(),
            ),
        ),
        rules={AGENT: AgentHooks(), "router": RouterZoneHooks()},
    )
