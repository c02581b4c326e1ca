# SPDX-License-Identifier: Apache-2.0
"""Clients that were written for Neutron, as they are, by each door."""
