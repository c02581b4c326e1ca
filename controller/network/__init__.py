# SPDX-License-Identifier: Apache-2.0

"""What features share: it knows what a router is, and compiles nothing of its own accord."""
