# SPDX-License-Identifier: Apache-2.0

"""Drops: what goes nowhere is counted, by cause and by whose packet it was.

Whatever drops a packet names the cause (``controller/openflow/drops.py``) and leads to DROP. There
the switch learns, for this cause and this port, a flow of DROPPED, which counts from the next
packet on. Whose account it is goes with the cause, so a cause of any feature needs no flow here.
"""

from tenantry.apps.drops import tables
from tenantry.apps.drops.flows import compile_common
from tenantry.controller.feature.app import App, Units, per_switch

DROPS = App(
    id=27,
    name="drops",
    units=(Units("all", per_switch, compile_common),),
    tables=tables.TABLES,
)
