# SPDX-License-Identifier: Apache-2.0

"""The door: what a feature declares, hands in, and may cause. Its author reads this."""
