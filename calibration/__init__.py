"""Data and judgement."""
