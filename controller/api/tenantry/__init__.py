"""``/tenantry/v1``: what Neutron has no words for."""
