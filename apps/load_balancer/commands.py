# SPDX-License-Identifier: Apache-2.0

"""``tenantry load-balancers``: who stands behind each, and how they are."""

from __future__ import annotations

from typing import Any

import click

from tenantry.controller.client import Context, Json


@click.command("load-balancers")
@click.pass_obj
def load_balancers(context: Context) -> None:
    """Show load balancers with their members: who gets connections, who is dead, and why."""
    found = context.client.get("/tenantry/v1/load-balancers")
    if context.output.json(found):
        return
    columns = ["load balancer", "at", "pool", "member", "weight", "gets some", "status", "reason"]
    rows = [row for balancer in found for row in _rows(balancer)]
    context.output.table("Load balancers", columns, rows)


def _rows(balancer: Json) -> list[list[Any]]:
    """A line for each member; for what has none, one that says how it is."""
    name = balancer["name"] or balancer["id"]
    rows = []
    for pool in balancer["pools"]:
        ports = [
            f"{listener['protocol']}:{listener['port']}"
            for listener in balancer["listeners"]
            if listener["pool_id"] == pool["id"]
        ]
        of_pool = [name, " ".join([*balancer["vips"], *ports]), pool["id"][:8]]
        for member in pool["members"]:
            address = member["address"]
            where = f"[{address}]" if ":" in address else address
            told = (member["weight"], member["in_rotation"], member["operating_status"])
            rows.append([*of_pool, f"{where}:{member['port']}", *told, member["reason"]])
        if not pool["members"]:
            rows.append([*of_pool, None, None, None, pool["operating_status"], "no members"])
    if not rows:
        vips = " ".join(balancer["vips"])
        rows.append([name, vips, None, None, None, None, balancer["operating_status"], "no pools"])
    return rows


COMMANDS: tuple[click.Command, ...] = (load_balancers,)
