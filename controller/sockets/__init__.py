# SPDX-License-Identifier: Apache-2.0

"""Who connects: listeners, what is read of whom, certificates, how many files are open."""
