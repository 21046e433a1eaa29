"""Names from data do nothing to a terminal, whatever its encoding."""

import pytest
from bundle_factory import edit_manifest, write_tiny_bundle


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_hostile_class_names_do_not_end_inspect(encoding, place, process):
    write_tiny_bundle(place / "tiny")
    edit_manifest(place / "tiny", things=["\x1b[2Jc\u00e4t", "dog"])
    strict = f"import sys; sys.stdout.reconfigure(encoding={encoding!r}, errors='strict')"
    done = process(["inspect", "tiny"], before=strict)
    assert (done.returncode, done.stderr) == (0, "")
    shown = {"ascii": "\\x1b[2Jc\\xe4t", "utf-8": "\\x1b[2Jc\u00e4t"}[encoding]
    assert shown in done.stdout
    assert "\x1b" not in done.stdout


def test_errors_hold_no_controls_either(place, process, one_line):
    for argv in (["inspect", "no\x1b[31m\u00e9.pth"], ["inspect", "x", "--no\x1b[31m"]):
        done = process(argv, before="import sys; sys.stderr.reconfigure(encoding='ascii', errors='strict')")
        assert one_line(done.stderr)
        assert "no\\x1b[31m" in done.stderr
        assert "\x1b" not in done.stderr
    done = process(["inspect", "no\x1b[31m.pth", "--debug"])
    assert "Traceback" in done.stderr
    assert "\x1b" not in done.stderr
