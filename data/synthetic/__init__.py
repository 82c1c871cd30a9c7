"""Markets and user flow made from a seed, for machines without history and for scenarios with a name."""
