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
    """The options of all features, and of what they are to the API: a quota for each kind of
    resource that they bring."""
    from tenantry.controller.api import application
    from tenantry.controller.api.core import quota

    own = [app.options for app in apps()]
    yield from own
    conf = config.load([], own)
    built = (app.build(conf).extension for app in apps())
    kinds = application.kinds(extension for extension in built if extension)
    yield {"quotas": quota.options(kinds.values())}


def load(files: Sequence[str]) -> cfg.ConfigOpts:
    """All options, as these files have them. Errors: ConfigError."""
    return config.load(files, options())


def commands() -> Iterator[click.Command]:
    """The commands of all features."""
    return (command for app in apps() for command in app.commands)
