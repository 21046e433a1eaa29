"""A file that nobody has checked is read, or refused with one error."""

from __future__ import annotations

import random
import struct

import pytest

from edgeblend.runtime.backends.flatbuffer import I32, U8, FlatbufferError, Table, root_table

# A table of three fields: 7 as int32, a string "hi", and nothing. The vtable lies before it.
FILE = (
    struct.pack("<I4s", 20, b"TEST")
    + struct.pack(
        "<HHHHH2x", 10, 12, 4, 8, 0
    )  # 8: the vtable: its bytes, the table's, then an offset a field
    + struct.pack(
        "<iiI", 12, 7, 4
    )  # 20: the table: 12 before it is its vtable; 7; the string is 4 further on
    + struct.pack("<I2s2x", 2, b"hi")  # 32
)


def opened(content: bytes = FILE) -> Table:
    return root_table(memoryview(content), b"TEST")


def test_fields_by_their_slot() -> None:
    table = opened()
    assert table.number(0, I32) == 7
    assert table.text(1) == "hi"
    assert table.length(1) == 2
    assert table.numbers(1, "u1").tolist() == [104, 105]


def test_fields_that_are_not_there() -> None:
    table = opened()
    assert (table.number(2, I32), table.number(9, U8, 5)) == (0, 5)
    assert (table.table(2), table.tables(2), table.text(9), table.length(9)) == (None, [], "", 0)


@pytest.mark.parametrize(
    ("position", "form", "value", "words"),
    [
        (4, "4s", b"TFL3", "no file of the kind TEST"),
        (0, "<I", 4000, "leads to byte 4004"),
        (20, "<i", 4000, "leads to byte"),
        (20, "<i", -2000, "leads to byte"),
        (8, "<H", 2, "without a description"),
        (8, "<H", 60000, "leads to byte"),
        (12, "<H", 10, "leaves its table"),
        (28, "<I", 2**32 - 1, "leads to byte"),
        (32, "<I", 2**32 - 1, "vector of 4294967295 entries"),
    ],
)
def test_what_leads_out_of_the_file_is_refused(position, form, value, words) -> None:
    content = bytearray(FILE)
    struct.pack_into(form, content, position, value)
    with pytest.raises(FlatbufferError, match=words):
        table = opened(bytes(content))
        table.number(0, I32)
        table.text(1)


def test_entries_that_share_a_place_are_read_so_often_only() -> None:
    """Otherwise a file of a megabyte could hold millions of vectors of a million entries."""
    table = opened()
    with pytest.raises(FlatbufferError, match="many times over"):
        for _ in range(len(FILE)):
            table.text(1)


@pytest.mark.parametrize("length", range(len(FILE) - 2))  # the last two bytes fill up
def test_a_file_that_is_cut_short_is_refused(length) -> None:
    with pytest.raises(FlatbufferError):
        opened(FILE[:length]).text(1)


def test_whatever_the_bytes_are_there_is_an_answer_or_one_error() -> None:
    source = random.Random(0)
    for _ in range(3000):
        content = bytearray(FILE)
        for _ in range(3):
            content[source.randrange(len(content))] = source.randrange(256)
        try:
            table = opened(bytes(content))
            _ = table.number(0, I32), table.text(1), table.tables(2), table.tables(1)
        except (FlatbufferError, UnicodeDecodeError):
            pass
