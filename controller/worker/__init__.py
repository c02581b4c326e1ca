# SPDX-License-Identifier: Apache-2.0

"""``tenantry worker``: the processes that features want on this host, in network namespaces, kept
as they are wanted (docs/workers.md). A program of its own, without eventlet: what it runs outlives
it, and the controller."""
