"""Checksums of torch's files: its writer stores one per record, and its reader does not look at them."""

from __future__ import annotations

import zipfile


def altered_record(archive: zipfile.ZipFile) -> str | None:
    """Return the name of the first record whose bytes are not those that were written; None if all are.

    All sums are 0 in a file that was written with ``torch.serialization.set_crc32_options(False)``: there is
    nothing to compare with then.

    Raises:
        Exception: whatever zipfile raises of an archive that is broken in another way.
    """
    if not any(entry.CRC for entry in archive.infolist()):
        return None
    return archive.testzip()
