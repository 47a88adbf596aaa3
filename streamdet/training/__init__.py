"""Learning: datasets, losses, the training loop and its evaluation."""
