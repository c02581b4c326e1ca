# SPDX-License-Identifier: Apache-2.0

"""OpenFlow as values and as bytes. No sockets, no features."""
