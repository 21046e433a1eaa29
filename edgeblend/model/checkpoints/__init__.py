"""Checkpoints: files of weights, their names, and what fits a network."""
