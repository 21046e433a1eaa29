"""The classes of a model as a file: plain names, or ids and names."""

import pytest

from edgeblend.class_list import ClassList, class_list_text, read_class_list
from edgeblend.errors import InputError

BOX_AND_DISC = ClassList(("box", "disc"), (3, 7))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"box\ndisc\n", ClassList(("box", "disc"), None)),
        (b"3\tbox\n7\tdisc\n", BOX_AND_DISC),
        (b"\xef\xbb\xbf3\tbox\r\n7\tdisc\r\n", BOX_AND_DISC),  # as Windows writes it
        (b"\xef\xbb\xbfbox\r\n\r\ndisc", ClassList(("box", "disc"), None)),
        (b"3\tbox \n\n 7\tdisc", BOX_AND_DISC),
        (b"-1\tbox\n0\tdisc", ClassList(("box", "disc"), (-1, 0))),
        (b"3 box\n7 disc\n", ClassList(("3 box", "7 disc"), None)),  # blanks belong to names
        ("Tänk\n杯".encode(), ClassList(("Tänk", "杯"), None)),
    ],
)
def test_text(tmp_path, content, expected):
    (tmp_path / "classes.txt").write_bytes(content)
    assert read_class_list(tmp_path / "classes.txt") == expected
    assert read_class_list(str(tmp_path / "classes.txt")) == expected


def test_what_is_written_is_read_back(tmp_path):
    (tmp_path / "classes.txt").write_text(class_list_text(["box", "disc"], [3, 7]))
    assert read_class_list(tmp_path / "classes.txt") == BOX_AND_DISC


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"3\tbox\ndisc\n", "line 2: expected ID<TAB>NAME as on other lines, got 'disc'"),
        (b"box\n\n7\tdisc\n", "line 1: expected ID<TAB>NAME"),
        (b"a\tbox\n", "line 1: expected"),
        (b"3.5\tbox\n", "line 1: expected"),
        (b"1_0\tbox\n", "line 1: expected"),
        (b"3\tbox\tred\n", "line 1: expected"),
        (b"9" * 5000 + b"\tbox\n", "line 1: expected"),
        (b"", "has no class names"),
        (b"\xef\xbb\xbf \r\n", "has no class names"),
        ("T\xe4nk".encode("latin1"), "cannot be read as a list"),
        ("box".encode("utf-16"), "cannot be read as a list"),
    ],
)
def test_what_is_no_list_of_classes(tmp_path, content, message):
    (tmp_path / "classes.txt").write_bytes(content)
    with pytest.raises(InputError, match=f"classes.txt: {message}"):
        read_class_list(tmp_path / "classes.txt")


@pytest.mark.parametrize("name", ["nowhere.txt", "A" * 300, "a\0b"])
def test_no_file(tmp_path, name):
    with pytest.raises(InputError, match="no such file|cannot be read"):
        read_class_list(tmp_path / name)
