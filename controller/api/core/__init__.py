# SPDX-License-Identifier: Apache-2.0

"""The resources that Neutron's core has, and what belongs to them."""
