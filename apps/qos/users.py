# SPDX-License-Identifier: Apache-2.0

"""Who has a policy: networks, ports, floating IPs, and the gateways of routers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from neutron_lib.api.definitions import portbindings
from neutron_lib.exceptions import qos as errors
from neutron_lib.services.qos.constants import QOS_NETWORK_POLICY_ID, QOS_POLICY_ID

from tenantry.apps.qos import minimums
from tenantry.apps.qos.errors import QosRuleNotSupported, QosRuleNotSupportedByNetwork
from tenantry.apps.qos.records import is_networks
from tenantry.apps.qos.rules import MINIMUM_BANDWIDTH, MINIMUM_PACKET_RATE, POLICY, rules_in
from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import Reader, ResourceHooks, may_use
from tenantry.controller.store import Body, Claim, Draft, Link

GATEWAY = "external_gateway_info"
DEFAULT = "default_qos_policy"
"""What the one policy of a project claims that its new networks get."""

USERS = ("network", "port", "floatingip", "router")
"""The kinds of resources that have policies."""


def role(kind: str) -> str:
    """The role in which a policy sees its users of a kind."""
    return f"qos_{kind}"


def of(reader: Reader, policy_id: str) -> Iterator[tuple[str, Body]]:
    """Who has a policy, each with its kind."""
    for kind in USERS:
        for id in reader.linked(policy_id, role(kind)):
            body = reader.get(kind, id)
            if body is not None:
                yield kind, body


class _Bound(ResourceHooks):
    """Of one kind that has policies."""

    kind: str

    def create(self, draft: Draft, context: Context, body: Body) -> None:
        self._settle(draft, context, None, body)

    def update(self, draft: Draft, context: Context, before: Body, body: Body) -> None:
        self._settle(draft, context, self.policy(before), body)

    def policy(self, body: Body) -> str | None:
        """The policy that it has of its own."""
        return body.get(QOS_POLICY_ID) or None

    def _settle(self, draft: Draft, context: Context, was: str | None, body: Body) -> None:
        id = self.policy(body)
        if id == was:
            return
        old, new = (draft.get(POLICY, each) if each else None for each in (was, id))
        if old is not None and not may_use(draft, context, old):
            raise errors.PolicyRemoveAuthorizationError(policy_id=was)
        if id is not None:
            if new is None or not may_use(draft, context, new):
                raise errors.QosPolicyNotFound(policy_id=id)
            for type, rule in rules_in(draft, id):
                check_kept(draft, type, rule, self.kind, body)

    def links(self, body: Body) -> Iterable[Link]:
        id = self.policy(body)
        if id is not None:
            yield Link(id, role(self.kind))

    def present(self, reader: Reader, context: Context, body: Body, shown: Body) -> None:
        shown.setdefault(QOS_POLICY_ID, None)  # from before there was such an attribute


class NetworkHooks(_Bound):
    kind = "network"

    def create(self, draft: Draft, context: Context, body: Body) -> None:
        if not body[QOS_POLICY_ID]:
            body[QOS_POLICY_ID] = draft.owner(Claim(DEFAULT, "", body["project_id"]))
        super().create(draft, context, body)


class OnNetworkHooks(_Bound):
    """Of ports and floating IPs: where they have no policy, their network's may hold."""

    overrides = (QOS_NETWORK_POLICY_ID,)

    def __init__(self, kind: str, network: str) -> None:
        """``network`` is the attribute that names it."""
        self.kind, self._network = kind, network

    def create(self, draft: Draft, context: Context, body: Body) -> None:
        super().create(draft, context, body)
        self._check_host(draft, body)

    def update(self, draft: Draft, context: Context, before: Body, body: Body) -> None:
        super().update(draft, context, before, body)
        if before.get(portbindings.HOST_ID) != body.get(portbindings.HOST_ID):
            self._check_host(draft, body)

    def _check_host(self, draft: Draft, body: Body) -> None:
        """What holds for a port can be kept on its host."""
        if not body.get(portbindings.HOST_ID):
            return
        id = self.policy(body)
        if id is None and not is_networks(body["device_owner"]):
            id = _of_network(draft, body[self._network])
        for type, rule in rules_in(draft, id) if id else ():
            check_kept(draft, type, rule, self.kind, body)

    def present(self, reader: Reader, context: Context, body: Body, shown: Body) -> None:
        super().present(reader, context, body, shown)
        shown[QOS_NETWORK_POLICY_ID] = _of_network(reader, body[self._network])


class RouterHooks(_Bound):
    """A gateway's policy stays when its network changes, and goes with it."""

    kind = "router"

    def policy(self, body: Body) -> str | None:
        return (body[GATEWAY] or {}).get(QOS_POLICY_ID) or None

    def present(self, reader: Reader, context: Context, body: Body, shown: Body) -> None:
        gateway = shown.get(GATEWAY)
        if gateway:
            own = {name: value for name, value in gateway.items() if name != QOS_POLICY_ID}
            if self.policy(body) or _of_network(reader, gateway["network_id"]):
                own[QOS_POLICY_ID] = self.policy(body)
            shown[GATEWAY] = own


def _of_network(reader: Reader, id: str) -> str | None:
    network = reader.get("network", id)
    return (network.get(QOS_POLICY_ID) or None) if network else None


def check_kept(reader: Reader, type: str, rule: Body, kind: str, body: Body) -> None:
    """What a rule promises can be kept for who has its policy, or is to have it. Errors: Neutron's
    QosRuleNotSupported, for networks QosRuleNotSupportedByNetwork."""
    why = ""
    if type == MINIMUM_BANDWIDTH:
        why = minimums.objection(reader, rule, kind, body)
    elif type == MINIMUM_PACKET_RATE:
        why = "no switch keeps a minimum of packets"
    if why:
        error = QosRuleNotSupportedByNetwork if kind == "network" else QosRuleNotSupported
        raise error(rule_type=type, kind=kind, id=body["id"], why=why)


def can_be_kept(reader: Reader, type: str) -> bool:
    """Whether rules of a type can be kept anywhere."""
    if type == MINIMUM_BANDWIDTH:
        return minimums.can_be_kept(reader)
    return type != MINIMUM_PACKET_RATE
