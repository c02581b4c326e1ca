# SPDX-License-Identifier: Apache-2.0

"""Attacks: hostile frames, floods, lying peers, slow clients, kills, and a database that fails.

The controller is a whole ``tenantry serve`` in a process of its own with few descriptors, on a real
Open vSwitch. ``make test`` has a few seconds of each attack, the same each time; ``make attack``
goes on with new ones until its time is up.
"""
