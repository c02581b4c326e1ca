"""``tenantry serve``: from options to a running controller.

The only place where the core meets the list of apps. Runs until SIGINT or SIGTERM; on the way out
it hangs up and leaves the switches as they are: their flows go on without us.
"""

from __future__ import annotations

import logging

from oslo_config import cfg

LOG = logging.getLogger("tenantry")


class CannotServe(Exception):
    """Something outside is not as it must be; the message says what to do."""


def serve(conf: cfg.ConfigOpts, *, verbose: bool = False) -> None:
    """Run until told to stop. Errors: CannotServe, ConfigError."""
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
