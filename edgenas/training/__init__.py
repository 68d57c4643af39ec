"""Losses, sampling rules, the training loop, evaluation and checkpoints."""
