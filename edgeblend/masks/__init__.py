"""Masks as pixels, run lengths and polygons."""
