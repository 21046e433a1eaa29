"""Configs as YAML files: read as plain data, checked, and made a model's settings."""
