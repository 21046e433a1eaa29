"""What reading JSON raises, in one place: each reader makes one of the package's errors of it."""

from __future__ import annotations

import msgspec

NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""Text that is cut off, of another type than asked for, not UTF-8, or nested some thousand levels deep."""
