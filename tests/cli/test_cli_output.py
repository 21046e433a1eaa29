"""Text from data goes out whatever the stream takes, and does nothing to a terminal."""

import io
import json
import os
import sys

import msgspec
import pytest

from edgeblend.terminal import output
from edgeblend.terminal.printing import print_json

HOSTILE = "caf\u00e9 \x1b[31mred\x07 \u202ereversed \x9b2J\r"


def stream(encoding):
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict")


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("utf-8", "caf\u00e9 \\x1b[31mred\\x07 \\u202ereversed \\x9b2J\\r\n"),
        ("ascii", "caf\\xe9 \\x1b[31mred\\x07 \\u202ereversed \\x9b2J\\r\n"),
        ("latin-1", "caf\u00e9 \\x1b[31mred\\x07 \\u202ereversed \\x9b2J\\r\n"),
    ],
)
@pytest.mark.parametrize(("write", "name"), [(output.show, "stdout"), (output.tell, "stderr")])
def test_text_that_a_stream_does_not_take(encoding, expected, write, name, monkeypatch):
    monkeypatch.setattr(sys, name, stream(encoding))
    write(HOSTILE)
    getattr(sys, name).flush()
    assert getattr(sys, name).buffer.getvalue().decode(encoding) == expected


def test_ordinary_text_stays():
    text = "tab\tand line\nfeed, \u65e5\u672c, \U0001f468\u200d\U0001f469\u200d\U0001f467, \u05e9\u05dc"
    assert output.printable(text) == text


def test_a_name_that_is_no_text():
    assert output.printable(os.fsdecode(b"caf\xe9")) in ("caf\\udce9", "caf\u00e9")


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1", "cp1252"])
def test_json_reads_back_whatever_the_encoding(encoding, monkeypatch):
    report = {"names": [HOSTILE, "\u65e5\u672c \U0001f600"], "value": 1.5}
    monkeypatch.setattr(sys, "stdout", stream(encoding))
    print_json(report)
    sys.stdout.flush()
    written = sys.stdout.buffer.getvalue()
    assert json.loads(written) == msgspec.json.decode(written) == report  # the second one insists on UTF-8
    assert not any(character in written.decode(encoding) for character in "\x1b\x9b\u202e\x07")


def test_json_has_names_that_are_no_text(capsys):
    print_json({"caf\udce9": ["\udce9"]})
    assert json.loads(capsys.readouterr().out) == {"caf\\udce9": ["\\udce9"]}
