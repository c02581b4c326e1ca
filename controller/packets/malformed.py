# SPDX-License-Identifier: Apache-2.0

"""What is said of bytes that cannot be what they say."""

from __future__ import annotations


class Malformed(Exception):
    """A packet that cannot be what it says: it is counted and dropped."""
