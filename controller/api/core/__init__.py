"""The resources that Neutron's core has, and what belongs to them."""
