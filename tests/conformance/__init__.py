# SPDX-License-Identifier: Apache-2.0
"""The public suites of API tests, against a cloud of their own: ``make conformance``."""
