"""Processes of our own, and what third parties do to the one that they run in."""
