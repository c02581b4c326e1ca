# SPDX-License-Identifier: Apache-2.0

"""``/tenantry/v1``: what Neutron has no words for."""
