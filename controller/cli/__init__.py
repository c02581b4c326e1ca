"""What people run: the ``tenantry`` command."""
