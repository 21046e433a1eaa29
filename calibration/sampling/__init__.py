"""Which of many frames to calibrate on."""
