# SPDX-License-Identifier: Apache-2.0

"""The running controller: the one loop, and what runs beside it."""
