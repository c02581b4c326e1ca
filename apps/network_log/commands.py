# SPDX-License-Identifier: Apache-2.0

"""``tenantry network-log``: what was logged."""

from __future__ import annotations

import click

from tenantry.controller.client import Context


@click.command("network-log")
@click.pass_obj
def network_log(context: Context) -> None:
    """Show what the network log (openstack network log create) has said of late.

    Every line is in the file that [network_log] file names; curl -N .../network-log?follow=1 on
    the API shows them as they come.
    """
    found = context.client.get("/tenantry/v1/network-log")
    if context.output.json(found):
        return
    columns = ["time", "event", "direction", "port_id", "protocol", "source", "destination"]
    rows = [[line[column] for column in columns] for line in found]
    context.output.table("Network log", columns, rows)


COMMANDS: tuple[click.Command, ...] = (network_log,)
