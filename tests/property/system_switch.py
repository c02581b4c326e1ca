# SPDX-License-Identifier: Apache-2.0

"""Open vSwitch as the system's test sees it: by its own tools, never by the controller's eyes."""

from __future__ import annotations

import re
from typing import NamedTuple

from ovs.unixctl.client import UnixctlClient

from tenantry.controller.openflow.codec import LEARNED_TABLES
from tests.openvswitch import OpenVSwitch


class FlowText(NamedTuple):
    """A flow as installed."""

    table: int
    cookie: int
    match: str
    actions: str


def installed(ovs: OpenVSwitch, bridge: str) -> dict[FlowText, float]:
    """The flows of a bridge with their ages, in seconds: 0 again when a flow is written again."""
    found = {}
    for line in ovs.ofctl("--no-names", "dump-flows", bridge).splitlines():
        if "actions=" in line:
            head, _, actions = line.partition(" actions=")
            words = re.split(r", ?", head.strip())
            named = dict(word.partition("=")[::2] for word in words)
            match = ",".join(w for w in words if w.partition("=")[0] not in _NOT_MATCH)
            age = float(named["duration"].rstrip("s"))
            flow = FlowText(int(named["table"]), int(named["cookie"], 16), match, actions)
            found[flow] = age
    return found


_NOT_MATCH = ("cookie", "duration", "table", "n_packets", "n_bytes", "idle_timeout", "idle_age")


def tell(ovs: OpenVSwitch, command: str, *words: str) -> str:
    """As ``ovs-appctl``, without a process: there are very many."""
    error, client = UnixctlClient.create(str(ovs.control))
    assert not error
    try:
        error, failure, answer = client.transact(command, list(words))
    finally:
        client.close()
    assert not error and not failure, failure
    return str(answer)


def leaves_by(ovs: OpenVSwitch, bridge: str, flow: str, *options: str) -> set[str]:
    """The interfaces that a packet leaves by, each with its tag if it bears one there."""
    trace = tell(ovs, "ofproto/trace", bridge, flow, "--names", *options)
    out: set[str] = set()
    tag = "".join("." + vlan for vlan in re.findall(r"dl_vlan=(\d+)", flow))
    for action in trace.rpartition("Datapath actions: ")[2].strip().split(","):
        if action.startswith("push_vlan"):
            tag = "." + action.partition("vid=")[2].rstrip(")")
        elif action == "pop_vlan":
            tag = ""
        elif action != "drop" and not action.startswith(("pcp=", "meter(")):
            out.add(action + tag)
    return out


def ours(ovs: OpenVSwitch, bridge: str) -> list[FlowText]:
    """The flows on a bridge but for those that it learned."""
    return sorted(flow for flow in installed(ovs, bridge) if flow.table not in LEARNED_TABLES)


def assert_untouched(before: dict[FlowText, float], after: dict[FlowText, float]) -> None:
    """The same flows, and none of them younger than before."""
    assert before.keys() == after.keys()
    assert not [flow for flow, age in before.items() if after[flow] < age]


def prod(ovs: OpenVSwitch) -> None:
    """Open vSwitch does not wake up for a connection that came about at once: it would look half a
    second later."""
    tell(ovs, "version")
