"""The door: what a feature declares, hands in, and may cause. Its author reads this."""
