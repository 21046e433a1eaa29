"""How fast bundles are."""
