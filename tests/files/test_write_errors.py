"""What is a full disk and what is not, by what writers really say."""

import errno
import os
import shutil
from types import SimpleNamespace

import pytest

from edgeblend.errors import BundleError, ConversionError
from edgeblend.files.write_errors import disk_failure

FULL = "No space left on device"


def caused(error, cause):
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.ENOSPC, FULL), FULL),
        (OSError(errno.EDQUOT, "x"), os.strerror(errno.EDQUOT)),
        (OSError(errno.EROFS, "x"), os.strerror(errno.EROFS)),
        (RuntimeError("basic_ios::clear: iostream error"), "the disk takes no more"),  # OpenVINO, torch
        (
            RuntimeError("[enforce fail at x.cc:672] . unexpected pos 576 vs 534"),
            None,
        ),  # torch, with the next:
        (
            caused(
                RuntimeError("unexpected pos 576 vs 534"), RuntimeError("basic_ios::clear: iostream error")
            ),
            "the disk takes no more",
        ),
        (RuntimeError("PytorchStreamWriter failed writing file data/0"), "the disk takes no more"),
        (RuntimeError("Error while serializing: I/O error: File too large (os error 27)"), "File too large"),
        (
            RuntimeError("Error while serializing: I/O error: Kein Platz (os error 28)"),
            FULL,
        ),  # in any language
        (caused(ConversionError("the graph cannot be exported"), OSError(errno.ENOSPC, FULL)), FULL),
        (ConversionError(f"Vela cannot compile it: [Errno 28] {FULL}"), FULL),
        # What is none:
        (RuntimeError("unexpected pos 576 vs 534"), None),
        (OSError(errno.EACCES, "Permission denied"), None),
        (OSError("disk full"), None),
        (RuntimeError("Check 'shape.compatible(other)' failed at src/core/node.cpp:28"), None),
        (RuntimeError("cannot convert operator aten::space_left"), None),
        (RuntimeError("error 28"), None),
        (ValueError("28"), None),
        (ConversionError("the exported graphs differ from torch"), None),
        (BundleError("basis.bin: cannot be read: Input/output error"), None),  # reading, not writing
        (caused(BundleError("basis.bin: cannot be read"), OSError(errno.EIO, "Input/output error")), None),
    ],
)
def test_evidence(tmp_path, error, reason):
    assert disk_failure(error, tmp_path) == reason


def test_whatever_fails_where_nothing_is_free(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=4096))
    assert disk_failure(RuntimeError("write failed"), tmp_path) == FULL
    assert disk_failure(ConversionError("the exported graphs differ from torch"), tmp_path) is None
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=1 << 30))
    assert disk_failure(RuntimeError("write failed"), tmp_path) is None


def test_a_disk_that_cannot_be_asked_is_no_evidence(tmp_path):
    assert disk_failure(RuntimeError("write failed"), tmp_path / "nowhere") is None


def test_errors_that_name_each_other_end(tmp_path):
    first, second = RuntimeError("a"), RuntimeError("b")
    first.__cause__, second.__cause__ = second, first
    assert disk_failure(first, tmp_path) is None
