# SPDX-License-Identifier: Apache-2.0

"""The features as commands meet them: their options, and commands of their own.

Loading them takes a second, so nobody does who does not need them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click
from oslo_config import cfg

from tenantry.controller import config

if TYPE_CHECKING:
    from tenantry.controller.feature.app import App


def apps() -> tuple[App, ...]:
    """All of them."""
    from tenantry.apps import APPS

    return APPS


def options() -> Iterator[config.Options]:
    """The options of all features."""
    return (app.options for app in apps())


def load(files: Sequence[str]) -> cfg.ConfigOpts:
    """All options, as these files have them. Errors: ConfigError."""
    return config.load(files, options())


def commands() -> Iterator[click.Command]:
    """The commands of all features."""
    return (command for app in apps() for command in app.commands)
