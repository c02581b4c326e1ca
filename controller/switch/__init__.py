# SPDX-License-Identifier: Apache-2.0

"""Everything that touches a switch: OpenFlow and OVSDB. Only this folder imports os-ken and ovs."""
