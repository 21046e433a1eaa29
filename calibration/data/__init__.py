"""Labelled sets and frames: files, folders, videos, and COCO files as tools write them."""
