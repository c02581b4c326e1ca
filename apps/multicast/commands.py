# SPDX-License-Identifier: Apache-2.0

"""``tenantry multicast``: who has asked for which groups."""

from __future__ import annotations

import click

from tenantry.controller.client import Context


@click.command()
@click.pass_obj
def multicast(context: Context) -> None:
    """Show which ports have asked for which multicast groups, if there is snooping."""
    found = context.client.get("/tenantry/v1/multicast")
    if not context.output.json(found):
        rows = [[one["network_id"], one["group"], " ".join(one["port_ids"])] for one in found]
        context.output.table("Multicast", ["network", "group", "ports"], rows)
