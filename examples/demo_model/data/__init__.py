"""Demo data: labelled pictures to validate and calibrate with, a video, and a model trained for them."""
