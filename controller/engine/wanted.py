# SPDX-License-Identifier: Apache-2.0

"""What a switch should hold: flows, as bytes by cookie, meters, groups; and which came or went."""

from __future__ import annotations

from tenantry.controller.openflow.codec import flow_identity
from tenantry.controller.openflow.groups_meters import is_flow


class Wanted:
    """The flows that a switch should hold: encoded bodies by cookie. Among them its meters and
    groups, by their keys, which no cookie equals (see ``groups_meters.py``).

    A flow that several units yield is held once and counted. ``touched`` collects the cookies
    that came or went; whoever pushes to the switch takes them from there.
    """

    def __init__(self) -> None:
        self.flows: dict[int, bytes] = {}
        self.touched: set[int] = set()
        self._shared: dict[int, int] = {}  # how many units more than one want a cookie

    def add(self, cookie: int, body: bytes) -> None:
        if cookie in self.flows:
            self._shared[cookie] = self._shared.get(cookie, 0) + 1
        else:
            self.flows[cookie] = body
            self.touched.add(cookie)

    def remove(self, cookie: int) -> None:
        more = self._shared.get(cookie, 0)
        if not more:
            del self.flows[cookie]
            self.touched.add(cookie)
        elif more == 1:
            del self._shared[cookie]
        else:
            self._shared[cookie] = more - 1

    def take_touched(self) -> set[int]:
        touched, self.touched = self.touched, set()
        return touched

    def conflicts(self) -> list[tuple[int, int]]:
        """Pairs of cookies with equal table, priority and match but different actions.

        Only one of the two can be in a switch: a mistake in an app. The list should be empty.
        """
        seen: dict[bytes, int] = {}
        return [
            (other, cookie)
            for cookie, body in self.flows.items()
            if is_flow(cookie) and (other := seen.setdefault(flow_identity(body), cookie)) != cookie
        ]
