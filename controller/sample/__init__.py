"""The sample topology, and the page made of it."""
