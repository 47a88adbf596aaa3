"""Many live sources at once: one detector for all, an account and outputs for each."""
