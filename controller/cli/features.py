# SPDX-License-Identifier: Apache-2.0

"""The features as commands meet them: their options, and commands of their own.

Loading them takes a second, so nobody does who does not need them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click
from oslo_config import cfg

from tenantry.controller import config


def options() -> Iterator[config.Options]:
    """The options of all features."""
    from tenantry.apps import APPS

    return (app.options for app in APPS)


def load(files: Sequence[str]) -> cfg.ConfigOpts:
    """All options, as these files have them. Errors: ConfigError."""
    return config.load(files, options())


def commands() -> Iterator[click.Command]:
    """The commands of all features."""
    from tenantry.apps import APPS

    return (command for app in APPS for command in app.commands)
