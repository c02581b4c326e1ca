# SPDX-License-Identifier: Apache-2.0

"""The Neutron v2.0 API. It writes to the store, and knows nothing of switches."""
