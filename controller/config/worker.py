# SPDX-License-Identifier: Apache-2.0

"""The options of the worker on the controller's own host."""

from __future__ import annotations

from oslo_config import cfg

WORKER = [
    cfg.BoolOpt(
        "local",
        default=True,
        help="Whether the controller's own host runs processes for features (load balancers of "
        "layer 7), too; it takes root. Other hosts do by `tenantry worker`.",
    ),
    cfg.StrOpt(
        "directory",
        default="/run/tenantry/worker",
        help="Where that worker keeps their files, by store. It should be gone with the next start "
        "of the system, as they are.",
    ),
]
