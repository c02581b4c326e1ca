# SPDX-License-Identifier: Apache-2.0

"""Policies of quality of service, made over the API, and given to whom they are for."""

from __future__ import annotations

from typing import Any

from tests.lab import Lab

PATH = "/v2.0/qos/policies"


def policy(net: Lab, **rules: Any) -> Any:
    """One with these rules: each a type, and its attributes; or several of a type."""
    made = net.api("POST", PATH, {"policy": {"name": "some"}})["policy"]
    for type, several in rules.items():
        for attributes in several if isinstance(several, list) else [several]:
            rule(net, made, type, **attributes)
    return made


def rule(net: Lab, policy: Any, type: str, **attributes: Any) -> Any:
    body = {f"{type}_rule": attributes}
    return net.api("POST", f"{PATH}/{policy['id']}/{type}_rules", body)[f"{type}_rule"]


def change(net: Lab, policy: Any, type: str, id: str, **attributes: Any) -> None:
    net.api("PUT", f"{PATH}/{policy['id']}/{type}_rules/{id}", {f"{type}_rule": attributes})


def limits(kbps: int, **more: int) -> Any:
    """The same both ways, as ``bandwidth_limit``."""
    return [
        {"max_kbps": kbps, "direction": direction, **more} for direction in ("egress", "ingress")
    ]


def kilopackets(kpps: int) -> Any:
    """The same both ways, as ``packet_rate_limit``."""
    return [{"max_kpps": kpps, "direction": direction} for direction in ("egress", "ingress")]


def give(net: Lab, kind: str, resource: Any, policy: Any) -> None:
    """Let it have a policy, or none."""
    net.update(kind, resource["id"], qos_policy_id=policy and policy["id"])
    net.settle()


def give_gateway(net: Lab, router: Any, policy: Any) -> None:
    gateway = {
        "network_id": router["external_gateway_info"]["network_id"],
        "qos_policy_id": policy and policy["id"],
    }
    net.update("router", router["id"], external_gateway_info=gateway)
    net.settle()
