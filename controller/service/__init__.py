"""The running controller: the one loop, and what runs beside it."""
