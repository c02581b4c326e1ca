# SPDX-License-Identifier: Apache-2.0

"""How far things are: which switches are connected, what each has confirmed, and who waits for it.

The loop keeps it; everybody may look.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from tenantry.controller import runtime
from tenantry.controller.feature.effects import PacketOut
from tenantry.controller.model import Model
from tenantry.controller.service.packet_in import send
from tenantry.controller.switch.connection import Connection
from tenantry.controller.switch.reconcile import Realised, Reconciler


class Progress:
    """By switch (datapath id)."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self.connections: dict[int, Connection] = {}
        self.reconcilers: dict[int, Reconciler] = {}
        self.realised: dict[int, Realised] = {}
        """What each has confirmed, also before its connection was lost."""
        self.target = Realised()
        """What all are to confirm: the last pass, and the newest commit in it."""
        self.computing = False
        """Whether a pass is under way."""
        self.wired: dict[str, int] = {}
        """By id of a port or network: the pass that last moved or changed it."""
        self._waiting: list[runtime.Signal] = []

    def confirmed(self, dpid: int) -> Realised:
        """What a switch has confirmed."""
        return self.realised.get(dpid, Realised())

    def holds_its_flows(self, dpid: int) -> bool:
        """Whether a switch is connected, and has been brought up to date since."""
        reconciler = self.reconcilers.get(dpid)
        return reconciler is not None and reconciler.realised.generation > 0

    def send(self, dpid: int, packet: PacketOut) -> None:
        """Send a packet by a switch, if it is there."""
        connection = self.connections.get(dpid)
        if connection is not None:
            send(self._model, connection, packet)

    def tell(self) -> None:
        """Wake those who wait: a pass is over, a switch has confirmed something, or is lost."""
        for signal in self._waiting:
            signal.set()

    def wait_until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait for what passes, confirmations and lost connections bring about; False if that
        takes longer than ``seconds``."""
        signal = runtime.Signal()
        self._waiting.append(signal)
        deadline = time.monotonic() + seconds
        try:
            while not condition():
                if not signal.wait(max(0.0, deadline - time.monotonic())):
                    return condition()
            return True
        finally:
            self._waiting.remove(signal)
