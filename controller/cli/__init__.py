# SPDX-License-Identifier: Apache-2.0

"""What people run: the ``tenantry`` command."""
