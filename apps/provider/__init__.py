"""Provider networks: flat and VLAN networks on named physical networks.

A switch reaches a physical network by the interfaces that carry its name
(``external_ids:tenantry-physical-network``). There a network's frames bear its 802.1Q tag (or none,
if it is flat); on the ports of tenants they never do. The same VLAN id on two physical networks is
two networks.
"""

from apps.provider.flows import compile, units
from controller.app import App

PROVIDER = App(id=2, name="provider", units=units, compile=compile)
