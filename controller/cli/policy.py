# SPDX-License-Identifier: Apache-2.0

"""``tenantry policy``: which rules there are, and what they let whom do."""

from __future__ import annotations

import click

from tenantry.controller.client import Context

METHODS = ("GET", "POST", "PUT", "DELETE")


@click.group()
def policy() -> None:
    """Who may do what: the rules, and what they decide."""


@policy.command("list")
@click.argument("word", default="")
@click.option("--changed", is_flag=True, help="Only those that policy_file changes.")
@click.pass_obj
def list_(context: Context, word: str, changed: bool) -> None:
    """List the rules that have WORD in their name: what each says, and where it applies."""
    answer = [
        rule
        for rule in context.client.get("/tenantry/v1/policies")
        if word in rule["name"] and (rule["changed"] or not changed)
    ]
    if context.output.json(answer):
        return
    rows = [
        [
            rule["name"] + (" [yellow](changed)[/]" if rule["changed"] else ""),
            rule["check"] or "@",
            "\n".join(f"{each['method']} {each['path']}" for each in rule["operations"]),
        ]
        for rule in answer
    ]
    context.output.table("Policies", ["name", "check", "applies to"], rows)


@policy.command("check")
@click.argument("what")
@click.argument("path", required=False)
@click.option("--project", default="", help="The project of whoever asks, by its id.")
@click.option("--user", default="", help="The user, by their id.")
@click.option("--role", "roles", multiple=True, help="A role; those below it are included.")
@click.option("--id", "id_", help="With a rule: the resource that it is about.")
@click.option("--body", help="With POST or PUT: the JSON that is sent.")
@click.pass_obj
def check(context: Context, /, what: str, path: str | None, **options: object) -> None:
    """Say whether somebody may do something, and which rule decides. Exits 1 if not.

    WHAT is the name of a rule; or GET, POST, PUT or DELETE, and PATH that of a request.

    tenantry policy check create_network --project red --role member

    tenantry policy check DELETE /v2.0/networks/ID --project red --role member
    """
    about: dict[str, object] = {"rule": what, "id": options["id_"]}
    if what in METHODS:
        about = {"method": what, "path": path, "body": options["body"]}
    roles = options["roles"]
    assert isinstance(roles, tuple)
    answer = context.client.get(
        "/tenantry/v1/policy-check",
        **about,
        project=options["project"],
        user=options["user"],
        roles=",".join(roles),
    )
    if not context.output.json(answer):
        word = "[green]allowed[/]" if answer["allowed"] else "[red]refused[/]"
        if answer["status"] == 404:
            word += " (404: they may not know that it is there)"
        context.output.console.print(f"{word} by {answer['rule']}: {answer['check']}")
    if not answer["allowed"]:
        raise SystemExit(1)
