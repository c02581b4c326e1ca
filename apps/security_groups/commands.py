# SPDX-License-Identifier: Apache-2.0

"""``tenantry rules``: which rules are used."""

from __future__ import annotations

import click

from tenantry.controller.client import Context


@click.command()
@click.option("--unused", is_flag=True, help="Only rules that no packet has ever matched.")
@click.pass_obj
def rules(context: Context, unused: bool) -> None:
    """Show how many packets each rule of security groups and firewalls has decided about."""
    found = context.client.get("/tenantry/v1/rules", unused="1" if unused else None)
    if context.output.json(found):
        return
    columns = ["id", "kind", "of", "packets"]
    context.output.table("Rules", columns, [[rule[c] for c in columns] for rule in found])


COMMANDS: tuple[click.Command, ...] = (rules,)
