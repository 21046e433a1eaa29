"""How accurate bundles are, and how far their results agree."""
