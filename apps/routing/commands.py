# SPDX-License-Identifier: Apache-2.0

"""``tenantry routers``: where routers are."""

from __future__ import annotations

import click

from tenantry.controller.client import Context


@click.command()
@click.pass_obj
def routers(context: Context) -> None:
    """Show where routers are: their home, their address outside, neighbours that answered.

    A router is on every switch that reaches its networks. Its home is the one by which what shares
    an address leaves, and which answers for it on physical networks.
    """
    found = context.client.get("/tenantry/v1/routers")
    if context.output.json(found):
        return
    columns = ["id", "name", "project", "home", "switches", "outside", "address", "neighbours"]
    rows = [
        [
            *(router["id"], router["name"], router["project_id"], router.get("home") or "-"),
            *(" ".join(router.get("switches", ())), router["outside"] or "-"),
            router["shared_address"] or "-",
            " ".join(f"{n['address']}={n['mac']}" for n in router.get("neighbours", ())) or "-",
        ]
        for router in found
    ]
    context.output.table("Routers", columns, rows)


COMMANDS: tuple[click.Command, ...] = (routers,)
