# SPDX-License-Identifier: Apache-2.0

"""The sample topology, and the page made of it."""
