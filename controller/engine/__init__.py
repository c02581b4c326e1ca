# SPDX-License-Identifier: Apache-2.0

"""Wanted state: a pure function of the model, kept up to date at the cost of each change."""
