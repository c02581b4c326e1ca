# SPDX-License-Identifier: Apache-2.0

"""What is said of a port for others to read: by its user for Nova and for Open vSwitch, and by
whoever watches the wires for its user.

``numa_affinity_policy`` is read by Nova, when it chooses a host. ``hints`` are for Open vSwitch:
``tx-steering`` becomes ``other_config:tx-steering`` of the port's interface, wherever that is
plugged in. ``trusted`` is an admin's word to Nova about the virtual function that the port is to
be: the profile tells it, and Open vSwitch has no use for it. ``data_plane_status`` is what
something outside has seen of the wires behind a port.
"""

from __future__ import annotations

from neutron_lib.api.definitions import (
    data_plane_status,
    port_hint_ovs_tx_steering,
    port_hints,
    port_numa_affinity_policy,
    port_numa_affinity_policy_socket,
    port_trusted_vif,
    portbindings,
)

from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import Extension, Reader, ResourceHooks
from tenantry.controller.store import Body

_NAMES = (
    data_plane_status.DATA_PLANE_STATUS,
    port_hints.HINTS,
    port_numa_affinity_policy.NUMA_AFFINITY_POLICY,
    port_trusted_vif.TRUSTED_VIF,
)


class PortAttributesHooks(ResourceHooks):
    overrides = (portbindings.PROFILE,)

    def present(self, reader: Reader, context: Context, body: Body, shown: Body) -> None:
        for name in _NAMES:
            shown.setdefault(name, None)  # ports from before there was such an attribute
        trusted = {port_trusted_vif.TRUSTED_VIF: shown[port_trusted_vif.TRUSTED_VIF]}
        if None not in trusted.values():
            shown[portbindings.PROFILE] = {**shown[portbindings.PROFILE], **trusted}


def extension() -> Extension:
    return Extension(
        definitions=(
            *(data_plane_status, port_hints, port_hint_ovs_tx_steering),
            *(port_numa_affinity_policy, port_numa_affinity_policy_socket, port_trusted_vif),
        ),
        rules={"port": PortAttributesHooks()},
    )
