# SPDX-License-Identifier: Apache-2.0

"""Frames as values, and as bytes. No sockets, no features."""
