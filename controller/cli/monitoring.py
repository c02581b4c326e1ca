# SPDX-License-Identifier: Apache-2.0

"""``tenantry monitoring``: what Prometheus and Grafana are given (docs/monitoring.md)."""

from __future__ import annotations

from importlib import resources

import click

_FILES = resources.files(__package__) / "data"


def alerts() -> str:
    """Rules for Prometheus, in YAML."""
    return (_FILES / "alerts.yml").read_text()


def dashboard() -> str:
    """A dashboard for Grafana, in JSON."""
    return (_FILES / "dashboard.json").read_text()


@click.group()
def monitoring() -> None:
    """What Prometheus and Grafana are given to watch a controller."""


@monitoring.command("alerts")
def alerts_() -> None:
    """Print rules by which Prometheus raises alerts: a file for `rule_files`."""
    click.echo(alerts(), nl=False)


@monitoring.command("dashboard")
def dashboard_() -> None:
    """Print a dashboard in JSON, for Grafana to import."""
    click.echo(dashboard(), nl=False)
