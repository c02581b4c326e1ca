"""How Hypothesis runs here: no deadline, as a loaded machine is no failure."""

from hypothesis import settings

settings.register_profile("tenantry", deadline=None)
settings.load_profile("tenantry")
