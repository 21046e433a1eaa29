"""What is known to fail and is being mended, so that its test may fail; to be emptied, and removed."""

from __future__ import annotations

from .kept import outcomes
from .kinds import KINDS

KINDS_WITH_FAULTS = frozenset(kind.name for kind in KINDS)
CASES_WITH_FAULTS = frozenset(outcomes())
