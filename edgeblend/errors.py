"""Every error this package raises on purpose.

A message says what was expected, what came, and what to do next. The command line prints the
message alone and exits with the class's ``exit_code``.
"""

from __future__ import annotations


class EdgeBlendError(Exception):
    """Root of all errors raised on purpose; catch it to catch them all."""

    exit_code = 1
    frame_index: int | None = None
    """Which frame of a stream it was, from 0; None elsewhere."""


class InputError(EdgeBlendError):
    """A picture, an array, a path or an argument cannot be used."""

    exit_code = 3


class ConfigError(EdgeBlendError):
    """A config name or YAML file is unknown, contradictory or not supported."""

    exit_code = 4


class CheckpointError(EdgeBlendError):
    """A checkpoint is missing, broken, unsafe to open, or belongs to another config."""

    exit_code = 5


class BundleError(EdgeBlendError):
    """A bundle is missing, incomplete, altered, or of a version this package does not read."""

    exit_code = 6


class EngineError(EdgeBlendError):
    """An engine or a device is not there, or failed."""

    exit_code = 7


class ConversionError(EdgeBlendError):
    """A conversion failed, or its result differs from the original beyond tolerance."""

    exit_code = 8


class TrainingError(EdgeBlendError):
    """Training cannot go on: its losses are not finite, or there is nothing to learn from."""

    exit_code = 10


class AccuracyError(EdgeBlendError):
    """A model is less accurate than was asked for."""

    exit_code = 11


class OutputError(EdgeBlendError):
    """A result cannot be written where it was asked for; nothing was written."""

    exit_code = 9
