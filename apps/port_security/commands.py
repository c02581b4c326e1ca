# SPDX-License-Identifier: Apache-2.0

"""``tenantry counters``: what ports send."""

from __future__ import annotations

import click

from tenantry.controller.client import Context


@click.command()
@click.option("--switch", help="Only this switch: name or datapath id.")
@click.pass_obj
def counters(context: Context, switch: str | None) -> None:
    """Show how many packets each port has sent: to one, to everybody, to the controller.

    Broadcasts and multicasts come first: a storm is seen at the top.
    """
    found = context.client.get("/tenantry/v1/counters", switch=switch)
    if context.output.json(found):
        return
    columns = ["id", "name", "project_id", "host", "interface", "packets", "broadcasts", "punted"]
    rows = [[port.get(column, "") for column in columns] for port in found]
    context.output.table("Ports", ["id", "name", "project", *columns[3:]], rows)
    for port in found:
        if port["impostor"]:
            context.output.console.print(
                f"[yellow]{port.get('interface', port['id'])} has never sent as its port "
                f"{port['name'] or port['id']}[/]: with other MAC or IP addresses than the port's, "
                "all of it is dropped (port security)"
            )


COMMANDS: tuple[click.Command, ...] = (counters,)
