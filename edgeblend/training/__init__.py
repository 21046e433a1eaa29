"""Training: a COCO data set and a config in, a checkpoint out."""
