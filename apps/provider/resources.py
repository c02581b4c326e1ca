"""Which wire a network is on: the provider attributes, by an admin's word or by allocation.

A network's segment is a claim, so that no two networks ever share one. It never changes while the
network lives.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from neutron_lib import exceptions
from neutron_lib.api.definitions import provider_net
from neutron_lib.constants import MAX_VLAN_TAG, MIN_VLAN_TAG, TYPE_FLAT, TYPE_LOCAL, TYPE_VLAN

from controller.api.auth import Context
from controller.api.extension import Extension, Rules, given
from controller.store import Body, Claim, Draft

TYPE, PHYSICAL_NETWORK, SEGMENTATION_ID = provider_net.ATTRIBUTES

VlanRanges = Mapping[str, Sequence[tuple[int, int]]]
"""First and last VLAN id of each range, by physical network."""


class ProviderRules(Rules):
    def __init__(
        self,
        tenant_network_type: str,
        vlan_ranges: VlanRanges,
        physical_networks: Collection[str] | None,
    ) -> None:
        self._tenant_network_type = tenant_network_type
        self._vlan_ranges = vlan_ranges
        self._physical_networks = physical_networks

    def create(self, draft: Draft, context: Context, body: Body) -> None:
        if any(given(body[name]) for name in provider_net.ATTRIBUTES):
            context.require_admin("only an admin may say which wire a network is on")
        else:
            body[TYPE] = self._tenant_network_type
        for name in provider_net.ATTRIBUTES:
            if not given(body[name]):
                body[name] = None
        if body[TYPE] is None:
            raise _invalid("network_type required")
        if body[TYPE] == TYPE_VLAN:
            self._settle_vlan(draft, body)
        elif body[TYPE] == TYPE_FLAT:
            _prohibit(body, SEGMENTATION_ID)
            if not body[PHYSICAL_NETWORK]:
                raise _invalid("physical_network required for flat provider network")
            self._check_physical_network(body)
        elif body[TYPE] == TYPE_LOCAL:
            _prohibit(body, PHYSICAL_NETWORK, SEGMENTATION_ID)
        else:
            raise _invalid(
                f"network_type value '{body[TYPE]}' not supported; use {TYPE_FLAT}, {TYPE_VLAN} "
                f"or {TYPE_LOCAL}"
            )

    def _settle_vlan(self, draft: Draft, body: Body) -> None:
        vlan_id = body[SEGMENTATION_ID]
        if vlan_id is None:
            if body[PHYSICAL_NETWORK]:
                self._check_physical_network(body)
            body[PHYSICAL_NETWORK], body[SEGMENTATION_ID] = self._free_vlan(draft, body)
            return
        if not body[PHYSICAL_NETWORK]:
            raise _invalid("segmentation_id requires physical_network for VLAN provider network")
        self._check_physical_network(body)
        if not MIN_VLAN_TAG <= vlan_id <= MAX_VLAN_TAG:
            raise _invalid(f"segmentation_id out of range ({MIN_VLAN_TAG} through {MAX_VLAN_TAG})")

    def _free_vlan(self, draft: Draft, body: Body) -> tuple[str, int]:
        """The first VLAN id of the ranges that no network has."""
        for physical_network, ranges in self._vlan_ranges.items():
            if body[PHYSICAL_NETWORK] in (None, physical_network):
                for first, last in ranges:
                    for vlan_id in range(first, last + 1):
                        if draft.owner(_vlan(physical_network, vlan_id)) is None:
                            return physical_network, vlan_id
        raise exceptions.NoNetworkAvailable()

    def _check_physical_network(self, body: Body) -> None:
        name, known = body[PHYSICAL_NETWORK], self._physical_networks
        if known is not None and name not in known:
            raise _invalid(
                f"Unknown physical_network '{name}' for {body[TYPE]} provider network; known: "
                f"{', '.join(sorted(known)) or 'none'}"
            )

    def update(self, draft: Draft, context: Context, before: Body, body: Body) -> None:
        different = [name for name in provider_net.ATTRIBUTES if body[name] != before[name]]
        if different:
            raise _invalid(
                "Plugin does not support updating the following provider network attributes: "
                f"{', '.join(different)}; create a network with the new ones instead"
            )

    def claims(self, body: Body) -> Iterable[Claim]:
        if body[TYPE] == TYPE_VLAN:
            yield _vlan(body[PHYSICAL_NETWORK], body[SEGMENTATION_ID])
        elif body[TYPE] == TYPE_FLAT:
            yield Claim("segment", TYPE_FLAT, body[PHYSICAL_NETWORK])

    def taken(self, claim: Claim, body: Body) -> Exception | None:
        error: Exception | None = None
        if claim.kind == "segment" and body[TYPE] == TYPE_VLAN:
            error = exceptions.VlanIdInUse(
                vlan_id=body[SEGMENTATION_ID], physical_network=body[PHYSICAL_NETWORK]
            )
        elif claim.kind == "segment":
            error = exceptions.FlatNetworkInUse(physical_network=body[PHYSICAL_NETWORK])
        return error


def _vlan(physical_network: str, vlan_id: int) -> Claim:
    return Claim("segment", f"{TYPE_VLAN}:{physical_network}", str(vlan_id))


def _prohibit(body: Body, *names: str) -> None:
    for name in names:
        if body[name] not in (None, ""):
            raise _invalid(
                f"{name.removeprefix('provider:')} prohibited for {body[TYPE]} provider network"
            )
        body[name] = None


def _invalid(message: str) -> Exception:
    error: Exception = exceptions.InvalidInput(error_message=message)
    return error


def extension(
    *,
    tenant_network_type: str = TYPE_LOCAL,
    vlan_ranges: VlanRanges | None = None,
    physical_networks: Collection[str] | None = None,
) -> Extension:
    """The provider attributes of networks.

    A network for which nobody names a wire is of ``tenant_network_type``: ``vlan``, from
    ``vlan_ranges``, or ``local``, which stays on its switch. ``physical_networks`` are those there
    are; None means any name is good.
    """
    return Extension(
        definitions=(provider_net,),
        rules={"network": ProviderRules(tenant_network_type, vlan_ranges or {}, physical_networks)},
    )
