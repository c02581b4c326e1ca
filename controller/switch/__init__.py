"""Everything that touches a switch: OpenFlow and OVSDB. Only this folder imports os-ken and ovs."""
