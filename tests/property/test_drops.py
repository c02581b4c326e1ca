# SPDX-License-Identifier: Apache-2.0

"""No packet ends nowhere: whatever comes, by whichever port, leaves, goes to the controller, or is
dropped for a cause with a name. Told by ``ofproto/trace``, for random packets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from tenantry.controller.openflow.pipeline import DROP_CAUSE, Path, Table
from tests.trace.test_drops import BROADCAST, SERVICE, STRANGER, Dropped, Stage, stage
from tests.trace.test_routing import UPSTREAM

__all__ = ["stage"]

PORTS = ("one1", "one2", "two1", "alone", "small", "bare", "silent", "any", "other", "walled")
PORTS += ("rejected", "local", "proxied", "fenced", "private1", "private3")
WIRES = ("trunk0", "trunk1", "uplink0", "nobody")
KINDS = ("udp", "udp6", "tcp", "tcp6", "icmp", "icmp6", "arp", "ip,nw_proto=112", "dl_type=0x88b5")
STATES = ("trk,new", "trk,est", "trk,est,rpl", "trk,rel", "trk,inv")
MACS = (BROADCAST, STRANGER, SERVICE, UPSTREAM, "01:00:5e:00:00:05", "33:33:00:00:00:01")
MACS += ("01:80:c2:00:00:00", "00:00:00:00:00:00")
ADDRESSES = {
    4: (
        *("10.1.0.1", "10.1.0.77", "203.0.113.1", "203.0.113.77", "198.51.100.1", "224.0.0.5"),
        *("169.254.169.254", "0.0.0.0", "255.255.255.255"),
    ),
    6: ("fd01::1", "fd01::77", "2001:db8::1", "2001:db8:7::7", "ff02::1", "fe80::a9fe:a9fe", "::"),
}
TYPES = {"icmp": (0, 3, 8, 11), "icmp6": (0, 1, 128, 129, 131, 133, 134, 135, 136, 137)}
TRANSPORT = (22, 53, 67, 68, 80, 546, 547)


class Frame(NamedTuple):
    """A packet, by names of those whom it is from and for: a port's, or an address."""

    by: str
    sender: str
    receiver: str
    kind: str
    state: str
    honest: bool
    ttl: int
    source_port: int
    port: int
    type: int
    tag: int
    fragment: str


any_end = st.sampled_from((*PORTS, *["router"] * 8))
frames = st.builds(
    Frame,
    *(st.sampled_from((*PORTS, *WIRES)), any_end | any_end | any_end | st.sampled_from(MACS)),
    *(
        any_end | any_end | any_end | st.sampled_from(MACS),
        st.sampled_from(KINDS),
        st.sampled_from(STATES),
    ),
    *(st.booleans() | st.just(True) | st.just(True), st.sampled_from([0, 1, 64, 64, 64, 255])),
    *(st.sampled_from(TRANSPORT), st.sampled_from(TRANSPORT), st.integers(0, 9)),
    *(st.sampled_from([0] * 9 + [101]), st.sampled_from(["no", "no", "no", "first", "later"])),
)


def _mac(stage: Stage, end: str, by: str) -> str:
    if end == "router":
        network = stage.ports[by]["network_id"] if by in PORTS else stage.one["id"]
        return next((mac for (id, _), mac in stage.macs.items() if id == network), STRANGER)
    return stage.mac(end) if end in stage.ports else end


def _address(stage: Stage, end: str, version: int, number: int) -> str:
    fixed = stage.ports[end]["fixed_ips"] if end in stage.ports else ()
    found = [ip["ip_address"] for ip in fixed if (":" in ip["ip_address"]) == (version == 6)]
    return found[0] if found else ADDRESSES[version][number % len(ADDRESSES[version])]


def traced(stage: Stage, frame: Frame) -> Dropped:
    """What becomes of it. An honest one has the addresses of the port that it comes by."""
    sender = frame.by if frame.honest and frame.by in PORTS else frame.sender
    fields: dict[str, object] = {
        "dl_src": _mac(stage, sender, frame.by),
        "dl_dst": _mac(stage, frame.receiver, frame.by),
    }
    six = frame.kind.endswith("6")
    ends = [_address(stage, end, 6 if six else 4, frame.type) for end in (sender, frame.receiver)]
    if frame.kind == "arp":
        fields |= {"arp_op": 1 + frame.type % 2, "arp_sha": fields["dl_src"]}
        fields |= {"arp_spa": ends[0], "arp_tpa": ends[1]}
    elif not frame.kind.startswith("dl_type"):
        names = ("ipv6_src", "ipv6_dst") if six else ("nw_src", "nw_dst")
        fields |= dict(zip(names, ends, strict=True)) | {"nw_ttl": frame.ttl}
        if frame.fragment != "no":
            fields["ip_frag"] = frame.fragment
        if frame.fragment != "later" and frame.kind[:3] in ("udp", "tcp"):
            fields |= {f"{frame.kind[:3]}_src": frame.source_port}
            fields |= {f"{frame.kind[:3]}_dst": frame.port}
        elif frame.fragment != "later" and frame.kind in TYPES:
            types = TYPES[frame.kind]
            fields["icmpv6_type" if six else "icmp_type"] = types[frame.type % len(types)]
    kind = frame.kind
    if frame.fragment == "later" and kind in TYPES:
        kind = "ipv6,nw_proto=44" if six else "ip,nw_proto=1"
    if frame.tag:
        fields["dl_vlan"] = frame.tag
    bridge = "br-two" if frame.by in ("one2", "private3", "trunk1") else "br-int"
    interface = stage.taps.get(frame.by, frame.by)
    return stage.trace(interface, kind, bridge, frame.state, **fields)


def ends_nowhere(told: Dropped) -> Iterator[str]:
    """What of a trace goes on nowhere, and has no name: of each pass of the packet, or of a copy.

    A copy that would leave by where it came from ends in OUTPUT, too.
    """
    for part in re.split(r"^=+$", told.text, flags=re.MULTILINE):
        if not re.search(r"^ *\d+\. ", part, re.MULTILINE):
            continue
        leaves = re.search(rf"^ *{Table.OUTPUT.id}\. (?!priority 0,)", part, re.MULTILINE)
        goes_on = (
            leaves or "CONTROLLER:" in part or re.search(r"^ +ct\(.*table=", part, re.MULTILINE)
        )
        if not (goes_on or Dropped(part).causes or re.search(r"^ +output:", part, re.MULTILINE)):
            yield part
        for number in re.findall(r"^ *(\d+)\. No match", part, re.MULTILINE):
            (table,) = (table for table in Table if table.id == int(number))
            if table.path not in (Path.VISITED, Path.LEARNED):
                yield f"{table.name} has no answer"
    if "translation depth" in told.text or "too many resubmits" in told.text:
        yield "it runs in circles"


@given(some=st.lists(frames, min_size=5, max_size=10))
def test_each_packet_leaves_or_is_for_the_controller_or_has_a_cause(
    stage: Stage, some: list[Frame]
) -> None:
    for frame in some:
        told = traced(stage, frame)
        assert [*ends_nowhere(told)] == [], told.text


def test_sees_what_ends_nowhere(stage: Stage) -> None:
    """Without the cause, and without an answer to what nothing matched."""
    frame = Frame("alone", "alone", STRANGER, "udp", "trk,new", True, 64, 22, 22, 0, 0, "no")
    told = traced(stage, frame)
    assert [*ends_nowhere(told)] == []
    assert [*ends_nowhere(Dropped(told.text.replace(f"->{DROP_CAUSE}", "->reg0")))]
    missed = re.sub(rf"^ *{Table.FLOOD.id}\. .*$", " 75. No match.", told.text, flags=re.MULTILINE)
    assert [*ends_nowhere(Dropped(missed))] == ["FLOOD has no answer"]
