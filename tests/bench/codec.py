# SPDX-License-Identifier: Apache-2.0

"""How fast flows become bytes, beside os-ken's own serialiser."""

from __future__ import annotations

from collections.abc import Iterator

from os_ken.ofproto import ofproto_v1_4 as ofp
from os_ken.ofproto import ofproto_v1_4_parser as parser
from os_ken.ofproto.ofproto_protocol import ProtocolDesc

from tenantry.controller.openflow.codec import encode_flow
from tenantry.controller.openflow.flow import Flow, Goto, Output, PopVlan, SetField
from tenantry.controller.openflow.oxm import VLAN_PRESENT
from tenantry.controller.openflow.pipeline import IN_PORT, NETWORK, OUT_PORT, Table
from tests.bench import Figure, in_turns, ratio

COUNT = 3000

AS_LONG = 20
"""How often ours is repeated, to take about as long: a short turn is all noise or none."""


def flows(count: int) -> list[Flow]:
    """A third each of the shapes that are most: classify, look up, output."""
    found = []
    for number in range(count // 3):
        key = number % 100 + 1
        found += [
            Flow(
                Table.CLASSIFY,
                100,
                {"in_port": number + 1, "vlan_vid": VLAN_PRESENT | 5},
                (PopVlan(), SetField(NETWORK, key), SetField(IN_PORT, number + 1), _NEXT),
            ),
            Flow(
                Table.L2_LOOKUP,
                100,
                {NETWORK: key, "eth_dst": 0xFA163E000000 + number},
                (SetField(OUT_PORT, number + 1), Goto(Table.OUTPUT)),
            ),
            Flow(Table.OUTPUT, 100, {NETWORK: key, OUT_PORT: number + 1}, (Output(number + 1),)),
        ]
    return found


_NEXT = Goto(Table.CLASSIFY.next)


def bench() -> Iterator[Figure]:
    datapath = ProtocolDesc(version=ofp.OFP_VERSION)
    sample = flows(COUNT)

    def ours() -> None:
        for _ in range(AS_LONG):
            for flow in sample:
                encode_flow(flow, 1)

    def os_kens() -> None:
        for flow in sample:
            _os_ken(datapath, flow).serialize()

    counts = (COUNT * AS_LONG, COUNT)
    rates = [
        [count / took for took in times]
        for count, times in zip(counts, in_turns(ours, os_kens), strict=True)
    ]
    yield ratio("codec", *rates, "os-ken", 20, rate=True, reference="620,000 flows/s")


def _os_ken(datapath: ProtocolDesc, flow: Flow) -> parser.OFPFlowMod:
    actions = []
    instructions = []
    for action in flow.actions:
        match action:
            case SetField(field, value):
                actions.append(parser.OFPActionSetField(**{str(field): value}))
            case Output(port):
                actions.append(parser.OFPActionOutput(port))
            case PopVlan():
                actions.append(parser.OFPActionPopVlan())
            case Goto(table):
                instructions.append(parser.OFPInstructionGotoTable(table.id))
    if actions:
        instructions.insert(0, parser.OFPInstructionActions(ofp.OFPIT_APPLY_ACTIONS, actions))
    return parser.OFPFlowMod(
        datapath,
        table_id=flow.table.id,
        priority=flow.priority,
        match=parser.OFPMatch(**{str(field): value for field, value in flow.match.items()}),
        instructions=instructions,
        out_port=ofp.OFPP_ANY,
        out_group=ofp.OFPG_ANY,
    )
