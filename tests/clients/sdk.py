# SPDX-License-Identifier: Apache-2.0

"""A program: openstacksdk's proxies of networks and of load balancers make, find, get, list, change
and remove resources.

Its input is a line of JSON for each: kind, the body of one that can be made now, the id of what it
is a part of, if it is a part, whether it has tags, and what must be changed before it may be
removed. It prints a line for each: what was wrong. OS_* name the cloud.
"""

import json
import sys
from collections.abc import Iterator
from typing import Any

import openstack
from openstack.exceptions import NotFoundException, SDKException

SINGULAR = {"floatingip": "ip", "subnetpool": "subnet_pool"}
for of_qos in (
    *("policy", "bandwidth_limit_rule", "dscp_marking_rule", "minimum_bandwidth_rule"),
    *("packet_rate_limit_rule", "minimum_packet_rate_rule"),
):
    SINGULAR[of_qos] = f"qos_{of_qos}"
BALANCED = {
    "loadbalancer": "load_balancer",
    "healthmonitor": "health_monitor",
    "l7policy": "l7_policy",
    "l7rule": "l7_rule",
    "load_balancer_flavor": "flavor",
    "load_balancer_flavor_profile": "flavor_profile",
    "load_balancer_zone": "availability_zone",
    "load_balancer_zone_profile": "availability_zone_profile",
    **{kind: kind for kind in ("listener", "pool", "member")},
}
"""What the proxy of load balancers calls a kind."""
SINGULAR |= BALANCED
PLURAL = {
    "l7policy": "l7_policies",
    "firewall_policy": "firewall_policies",
    "rbac_policy": "rbac_policies",
}
PLURAL |= {"ndp_proxy": "ndp_proxies", "policy": "qos_policies"}
CREATE = {"port_forwarding": "floating_ip_port_forwarding"}
"""What the proxy calls a kind, several of it, and one that is made, where Neutron does not."""

VERBS = ("get", "find", "update", "delete")
"""Some kinds have no ``find``, some no ``update``: then there is nothing to try."""

FIXED = {"metering_label"}
"""Kinds that nobody can change, whatever openstacksdk thinks."""

MOVES = {"updated_at", "revision_number", "status", "location"}
"""What the next answer may say otherwise."""

NOT_TOLD = {
    *(("floatingip", "subnet_id"), ("healthmonitor", "pool_id")),
    *(("listener", "loadbalancer_id"), ("pool", "loadbalancer_id")),
}
"""What may be asked for, and no answer shows."""


def life(
    network: Any, kind: str, body: dict[str, Any], parent: str, tagged: bool, last: dict[str, Any]
) -> Iterator[str]:
    """One resource from birth to death; a sentence for each thing that is not as it should be."""
    one = SINGULAR.get(kind, kind)
    every = getattr(network, PLURAL.get(kind, f"{one}s"))
    above = (parent,) if parent else ()
    made = getattr(network, f"create_{CREATE.get(kind, one)}")(*above, **body)
    told = made.to_dict(original_names=True)
    get, find, update, delete = (getattr(network, f"{verb}_{one}", None) for verb in VERBS)
    got = get(made.id, *above).to_dict(original_names=True)
    for name in body.keys() & got.keys():
        if (kind, name) not in NOT_TOLD and not _holds(got[name], body[name]):
            yield f"create: {name} is {got[name]!r}, not {body[name]!r}"
    for name in told.keys() - body.keys() - MOVES:
        if told[name] != got[name]:
            yield f"get: {name} is {got[name]!r}, and was {told[name]!r}"
    if made.id not in (each.id for each in every(*above)):
        yield "list: it is not there"
    label = next(
        (name for name in ("name", "description") if name in body.keys() & told.keys()), None
    )
    label = None if kind in FIXED else label
    if label and update:
        changed = update(made.id, *above, **{label: "renamed"})
        if changed[label] != "renamed":
            yield f"update: {label} is {changed[label]!r}"
    if label == "name" and (ids := [each.id for each in every(*above, name="renamed")]) != [
        made.id
    ]:
        yield f"list by name: {ids}"
    if find and not above:
        for word in [made.id, *(["renamed"] if label == "name" else [])]:
            found = find(word)
            if found is None or found.id != made.id:
                yield f"find {word}: {found}"
    if tagged and hasattr(made, "set_tags"):
        network.set_tags(made, ["sdk"])
        if (ids := [each.id for each in every(*above, tags="sdk")]) != [made.id]:
            yield f"list by tags: {ids}"
    if last:
        update(made.id, *above, **last)
    delete(made.id, *above, ignore_missing=False)
    try:
        get(made.id, *above)
        yield "delete: it is still there"
    except NotFoundException:
        pass


def _holds(told: Any, sent: Any) -> bool:
    """Whether what was sent is in what is told: lists of objects may come with more in each."""
    if isinstance(sent, dict) and isinstance(told, dict):
        return all(_holds(told.get(name), value) for name, value in sent.items())
    if isinstance(sent, list) and isinstance(told, list):
        return all(any(_holds(each, value) for each in told) for value in sent)
    return sent is None or str(told) == str(sent)


def main() -> None:
    cloud = openstack.connect()
    for line in sys.stdin:
        kind, *rest = json.loads(line)
        try:
            proxy = cloud.load_balancer if kind in BALANCED else cloud.network
            wrong = [*life(proxy, kind, *rest)]
        except (SDKException, AttributeError, TypeError) as error:
            wrong = [f"{type(error).__name__}: {error}"]
        print(json.dumps([kind, wrong]), flush=True)


if __name__ == "__main__":
    main()
