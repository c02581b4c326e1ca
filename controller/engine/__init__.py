"""Wanted state: a pure function of the model, kept up to date at the cost of each change."""
