"""The backbones, and what they are made of."""
