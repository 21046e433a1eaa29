"""For those who test what they add to edgeblend; needs pytest."""

from edgeblend.testing.engine_contract import EngineContract

__all__ = ["EngineContract"]
