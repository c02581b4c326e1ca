"""L2 switching: from port to port of one network, on one switch.

Known MAC addresses come from the model. Ports without port security may have any address, so the
switch learns theirs by itself (OVS ``learn``, no controller involved). Broadcast, multicast and
unknown unicast go to the network's ports and nowhere else. What lies beyond the switch is for other
features (``provider``), who meet this one in L2_LOOKUP, FLOOD_PART and OUTPUT.
"""

from apps.l2.flows import compile, units
from controller.app import App

L2 = App(id=1, name="l2", units=units, compile=compile)
