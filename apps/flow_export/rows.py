# SPDX-License-Identifier: Apache-2.0

"""Where Open vSwitch exports flows to: see ovs-vswitchd.conf.db(5), sFlow, NetFlow, IPFIX and
Flow_Sample_Collector_Set."""

from __future__ import annotations

from collections.abc import Iterator

from oslo_config import cfg

from tenantry.controller.feature.ovsdb_rows import AttachedRow, Named, Part, values
from tenantry.controller.model import Switch, View
from tenantry.controller.network.sampling import COLLECTORS


class Exports:
    """What the section ``[flow_export]`` says."""

    def __init__(self, conf: cfg.ConfigOpts.GroupAttr) -> None:
        self._sflow = values(
            targets=[*conf.sflow_collectors],
            sampling=conf.sflow_sampling,
            polling=conf.sflow_polling,
        )
        self._netflow = values(
            targets=[*conf.netflow_collectors], active_timeout=conf.netflow_timeout
        )
        self._ipfix = values(
            targets=[*conf.ipfix_collectors],
            sampling=conf.ipfix_sampling,
            cache_active_timeout=conf.ipfix_timeout,
        )
        self._ports = values(
            targets=[*conf.port_collectors], cache_active_timeout=conf.ipfix_timeout
        )

    def rows(self, view: View, switch: int) -> Iterator[AttachedRow]:
        record = view.get(Switch, switch)
        if record is None:
            return
        bridge = Named("Bridge", record.name)
        for table, columns in (
            ("sFlow", self._sflow),
            ("NetFlow", self._netflow),
            ("IPFIX", self._ipfix),
        ):
            if dict(columns).get("targets"):
                yield AttachedRow(f"export {table}", table, columns, bridge, table.lower())
        if dict(self._ports).get("targets"):
            for domain, number in COLLECTORS.items():
                said = values(id=number, bridge=bridge, ipfix=Part("IPFIX", self._ports))
                yield AttachedRow(f"export of ports {domain}", "Flow_Sample_Collector_Set", said)
