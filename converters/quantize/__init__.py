"""Float bundles to integer ones: recipes, calibration, one file a toolkit."""
