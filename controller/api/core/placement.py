# SPDX-License-Identifier: Apache-2.0

"""Where the addresses of a port may come from, if the subnets of its network are on segments: from
those of a segment that the port's host reaches. Until somebody says where it is to be, or plugs it
in, a port has none (``ip_allocation`` is deferred).

A host reaches a wire if it has told of a bridge that leads there (``bridge_mappings``), and an
overlay if it has a tunnel address.
"""

from __future__ import annotations

from collections.abc import Iterator

from neutron_lib import exceptions
from neutron_lib.api.definitions import portbindings
from neutron_lib.constants import DEVICE_OWNER_NETWORK_PREFIX, TYPE_GENEVE, TYPE_LOCAL, TYPE_VXLAN

from tenantry.controller.api.core.agent import agent_of
from tenantry.controller.feature.extension import Reader
from tenantry.controller.store import Body


class HostNotConnectedToAnySegment(exceptions.Conflict):
    message = (
        "Host %(host)s is not connected to any segments on routed provider network "
        "'%(network_id)s'.  It should be connected to one (tenantry-bridge-mappings of the host)."
    )


class HostNotCompatibleWithFixedIps(exceptions.Conflict):
    message = (
        "Host %(host)s is not connected to a segment where the existing fixed_ips on port "
        "%(port_id)s will function given the routed network topology."
    )


def is_deferred(reader: Reader, port: Body) -> bool:
    """Whether a port gets no address for now."""
    return bool(_segments(reader, port)) and not port[portbindings.HOST_ID]


def reached(reader: Reader, port: Body) -> list[str] | None:
    """The segments of a port's network that its host reaches, oldest first; None if it may have
    addresses from anywhere. HostNotConnectedToAnySegment if there are none."""
    segments, host = _segments(reader, port), port[portbindings.HOST_ID]
    if not segments or not host:
        return None
    agent = agent_of(reader, host)
    there = [id for id in segments if agent and _reaches(agent, reader.get("segment", id))]
    if not there:
        raise HostNotConnectedToAnySegment(host=host, network_id=port["network_id"])
    return there


def check(reader: Reader, port: Body) -> None:
    """Whether a port's addresses are of use on its host. HostNotCompatibleWithFixedIps if not."""
    there = reached(reader, port)
    for ip in port["fixed_ips"] if there is not None else ():
        subnet = reader.get("subnet", ip["subnet_id"])
        if subnet and there is not None and subnet.get("segment_id") not in there:
            host = port[portbindings.HOST_ID]
            raise HostNotCompatibleWithFixedIps(host=host, port_id=port["id"])


def _segments(reader: Reader, port: Body) -> list[str]:
    """Those on which the subnets of a port's network are. What is the network's own, routers' ports
    say, is wherever the network is."""
    if port["device_owner"].startswith(DEVICE_OWNER_NETWORK_PREFIX):
        return []
    return list(dict.fromkeys(_of_subnets(reader, port["network_id"])))


def _of_subnets(reader: Reader, network_id: str) -> Iterator[str]:
    for id in reader.linked(network_id, "subnet"):
        subnet = reader.get("subnet", id)
        if subnet and subnet.get("segment_id"):
            yield subnet["segment_id"]


def _reaches(agent: Body, segment: Body | None) -> bool:
    told = agent["configurations"]
    if segment is None or segment["network_type"] == TYPE_LOCAL:
        return segment is not None
    if segment["network_type"] in (TYPE_VXLAN, TYPE_GENEVE):
        return bool(told.get("tunnel_address"))
    return segment["physical_network"] in told.get("bridge_mappings", ())
