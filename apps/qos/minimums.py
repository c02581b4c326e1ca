# SPDX-License-Identifier: Apache-2.0

"""Minima of bandwidth: where one can be kept, and whether there is enough left.

A host keeps what it promises by queues of the interface by which it sends to a physical network. So
a minimum is for ports on such a network, in the direction in which hosts send, and all together
they are not promised more than their host carries. Where a port is to be is known as soon as its
``binding:host_id`` is; one that is plugged in without, and no longer fits, is promised nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from neutron_lib.api.definitions import portbindings
from neutron_lib.services.qos.constants import QOS_POLICY_ID
from neutron_lib.services.trunk.constants import TRUNK_SUBPORT_OWNER

from tenantry.apps.qos.records import EGRESS, is_networks
from tenantry.apps.qos.rules import MINIMUM_BANDWIDTH, POLICY_ID, kind
from tenantry.controller.feature.extension import Reader
from tenantry.controller.model import BANDWIDTHS
from tenantry.controller.store import Body, Claim

_RULE = kind(MINIMUM_BANDWIDTH)


def claim(rule: Body) -> Claim:
    """By it all minima are found."""
    return Claim(_RULE, "", rule["id"])


def can_be_kept(reader: Reader) -> bool:
    """Whether any host says how much it carries."""
    return any(_carried(agent) for agent in _agents(reader))


def objection(reader: Reader, rule: Body, kind: str, body: Body) -> str:
    """Why a rule cannot be kept for who has its policy, or is to have it; "" if it can."""
    if kind not in ("port", "network"):
        return "a minimum is kept for ports, and for networks"
    if rule["direction"] != EGRESS:
        return (
            "a host queues what it sends to a physical network (egress); what comes from there it "
            "cannot hold back"
        )
    if body.get("device_owner") == TRUNK_SUBPORT_OWNER:
        return "what a trunk's subport sends cannot be told from the rest of the trunk in a queue"
    network = body if kind == "network" else reader.get("network", body["network_id"]) or {}
    wires = set(_wires(reader, network))
    if not any(wires & _carried(agent).keys() for agent in _agents(reader)):
        return (
            "a minimum is kept on physical networks of which a host with a kernel datapath says "
            "how much it carries there (tenantry-bandwidths)"
        )
    ports = [body] if kind == "port" else [*_guests(reader, network)]
    hosts = {port.get(portbindings.HOST_ID) for port in ports}
    lacking = (
        _lacking(reader, rule, ports, agent, wires)
        for agent in _agents(reader)
        if agent["host"] in hosts
    )
    return next(filter(None, lacking), "")


def _lacking(reader: Reader, rule: Body, ports: list[Body], agent: Body, wires: set[str]) -> str:
    """What a host lacks that is to have some of these ports."""
    host = agent["host"]
    carried = {wire: kbps for wire, kbps in _carried(agent).items() if wire in wires}
    if not carried:
        return f"host {host} does not say how much it carries to {' or '.join(sorted(wires))}"
    there = [port["id"] for port in ports if port.get(portbindings.HOST_ID) == host]
    for wire, kbps in carried.items():
        promised = _promised(reader, rule, host, wire)
        promised |= dict.fromkeys(there, int(rule["min_kbps"]))
        if (total := sum(promised.values())) > kbps:
            return f"host {host} carries {kbps} kbit/s to {wire}, and {total} would be promised"
    return ""


def _promised(reader: Reader, rule: Body, host: str, wire: str) -> dict[str, int]:
    """What ports on a host are promised to a wire, by port, if a rule is as it is here."""
    stored = (reader.get(_RULE, id) for id in reader.claimed(_RULE, "").values())
    rates = {each[POLICY_ID]: each["min_kbps"] for each in stored if each and _is_sent(each)}
    rates[rule[POLICY_ID]] = rule["min_kbps"]
    return {
        port["id"]: kbps
        for policy_id, kbps in rates.items()
        for port in _ports(reader, policy_id)
        if port.get(portbindings.HOST_ID) == host
        and wire in _wires(reader, reader.get("network", port["network_id"]) or {})
    }


def _is_sent(rule: Body) -> bool:
    return bool(rule["direction"] == EGRESS)


def _ports(reader: Reader, policy_id: str) -> Iterator[Body]:
    """For which ports a policy holds."""
    yield from _bodies(reader, "port", reader.linked(policy_id, "qos_port"))
    for network in _bodies(reader, "network", reader.linked(policy_id, "qos_network")):
        yield from _guests(reader, network)


def _guests(reader: Reader, network: Body) -> Iterator[Body]:
    """The ports for which a network's policy holds."""
    for port in _bodies(reader, "port", reader.linked(network["id"], "port")):
        if not port.get(QOS_POLICY_ID) and not is_networks(port["device_owner"]):
            yield port


def _wires(reader: Reader, network: Body) -> Iterator[str]:
    """The physical networks of a network."""
    if wire := network.get("provider:physical_network"):
        yield wire
    for segment in _bodies(reader, "segment", reader.linked(network.get("id", ""), "segment")):
        if segment["physical_network"]:
            yield segment["physical_network"]


def _bodies(reader: Reader, kind: str, ids: Iterable[str]) -> Iterator[Body]:
    return filter(None, (reader.get(kind, id) for id in ids))


def _agents(reader: Reader) -> Iterator[Body]:
    return _bodies(reader, "agent", reader.claimed("agent_host", "").values())


def _carried(agent: Body) -> Mapping[str, int]:
    """What a host sends to each physical network at most, in kbit/s."""
    told = agent["configurations"].get(BANDWIDTHS) or {}
    return {wire: said[EGRESS] for wire, said in told.items() if said.get(EGRESS)}
