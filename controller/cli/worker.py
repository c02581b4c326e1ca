# SPDX-License-Identifier: Apache-2.0

"""``tenantry worker``: this host runs processes for features; and which hosts do."""

from __future__ import annotations

import os
import sys
import urllib.parse
from typing import Any

import click

from tenantry.controller.client import Context, Output

DIRECTORY = "/run/tenantry/worker/remote"


@click.group(invoke_without_command=True)
@click.option("--name", default="", help="This host, as its Open vSwitch has it; else asked there.")
@click.option(
    "--directory",
    type=click.Path(file_okay=False),
    default=DIRECTORY,
    show_default=True,
    help="Where the files of its processes are. It should be gone with the next start of the "
    "system, as they are.",
)
@click.pass_context
def worker(context: click.Context, name: str, directory: str) -> None:
    """Run what the controller wants to run on this host, in network namespaces, as root.

    Load balancers of layer 7, for one. The host must have joined (`tenantry host invite`). The
    controller is named by --url or --os-cloud, as for all commands; with [api] auth_type = basic
    or keystone, the account needs the role service. The controller's own host has a worker of its
    own ([worker] local). What runs here goes on when the worker ends, or the controller.
    """
    if context.invoked_subcommand is not None:
        return
    main: Context = context.obj
    words = [sys.executable, "-m", "tenantry.controller.worker", "--directory", directory]
    words += ["--name", name] if name else []
    words += ["--url", main.client.asked_url] if main.client.has_url else []
    words += ["--os-cloud", main.client.cloud] if main.client.cloud else []
    os.execv(sys.executable, words)  # another program: this one has eventlet in it


@worker.command("list")
@click.pass_obj
def list_workers(context: Context) -> None:
    """The workers, and what each has."""
    answer = context.client.get("/tenantry/v1/workers")
    if not context.output.json(answer):
        show(context.output, answer)


def show(output: Output, workers: list[dict[str, Any]]) -> None:
    """Two tables, of what ``/tenantry/v1/workers`` tells."""
    output.table(
        "Workers",
        ["name", "alive", "heard", "processes"],
        [
            [
                each["name"],
                "yes" if each["alive"] else "[red]no[/]",
                f"{max(0.0, each['heard_seconds']):.0f} s ago",
                len(each["processes"]),
            ]
            for each in workers
        ],
    )
    output.table(
        "Processes",
        ["name", "worker", "state", "as wanted", "restarts", "why"],
        [
            [
                process["name"],
                each["name"],
                process["state"],
                "yes" if process["confirmed"] else "[red]no[/]",
                process["restarts"],
                process["reason"],
            ]
            for each in workers
            for process in each["processes"]
        ],
    )


@worker.command("remove")
@click.argument("name")
@click.pass_obj
def remove(context: Context, name: str) -> None:
    """Forget the worker NAME, which does not come back. One that does is known again at once."""
    context.client.delete(f"/tenantry/v1/workers/{urllib.parse.quote(name, safe='')}")
    if not context.output.json({"name": name, "removed": True}):
        click.echo(f"{name} is removed")
