"""Arm's Ethos-U NPUs: TFLite graphs compiled by Vela."""
