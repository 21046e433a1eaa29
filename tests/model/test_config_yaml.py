"""Config files that are hostile, damaged, or written in corners of YAML."""

import os
import random
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tiny_model import TINY_YAML

from edgeblend.errors import ConfigError
from edgeblend.model.config import load_config
from edgeblend.model.config_files import keys as config_keys
from edgeblend.model.config_files.read import read_settings

BOMB = "a: &a [x, x]\n" + "".join(
    f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


def refusal(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value).replace(str(path), "FILE")


@pytest.fixture
def write(tmp_path):
    def write(content: str | bytes, name: str = "my.yaml") -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def test_tuples_are_read_as_tuples(write):
    path = write("INPUT:\n  MIN_SIZE_TRAIN: !!python/tuple [640, !!python/tuple [1]]\n")
    assert read_settings(path)["INPUT.MIN_SIZE_TRAIN"].value == (640, (1,))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "A: !!python/name:os.system ''\n",
            "FILE:1: not valid YAML: the tag '!!python/name:os.system' would",
        ),
        ("A: [!!python/object:x.Y {}]\n", "FILE:1: not valid YAML: the tag '!!python/object:x.Y' would"),
        ("A: !!python/tuple 5\n", "'!!python/tuple' would build"),
        ("A: 1\nB: !foo 5\n", "FILE:2: not valid YAML: the tag '!foo' is not one that configs use"),
        (BOMB, "FILE:2: not valid YAML: aliases within what has a name"),
        ("A: &a [*a]\n", "aliases within what has a name"),
        ("[" * 900_000, "FILE:1: not valid YAML: "),
        ("{a: " * 200_000, "nested deeper than 50 levels"),
        ("- " * 400_000, "nested deeper than 50 levels"),
        ("a: &a {x: 1}\nMODEL:\n  <<: *a\n", "FILE:3: not valid YAML: merge keys"),
        ("SOLVER: [{<<: [{a: 1}, {a: 2}]}]\n", "FILE:1: not valid YAML: merge keys"),
        (f"SOLVER: {{A: {'9' * 5000}}}", "a number of 5000 characters"),
        (f"SOLVER: {{A: 0x{'F' * 5000}}}", "a number of 5002 characters"),
        (f"SOLVER: {{A: {'1:' * 4000}1.5}}", "a value cannot be read"),
        ("SOLVER: {A: !!int ''}", "a value cannot be read"),
        ("SOLVER: {A: !!bool maybe}", "a value cannot be read"),
        ('"MODEL\\nINPUT": 1\n', r"unknown key 'MODEL\nINPUT'"),
        ("~: 1\n", "unknown key '~'"),
        ("A: 'a\0b'\n", "control characters"),
        ("MODEL: {FCOS: {NMS_TH: .inf}}", "expected a value of type float"),
        (b"\xff\xfeM\0:\0 \x001\0", "FILE is text in UTF-16; save it as UTF-8"),
        (b"\xfe\xff\0M", "FILE is text in UTF-16; save it as UTF-8"),
        (b"\x80\x02}q\0", "FILE is not a text file"),
    ],
)
def test_what_no_config_needs_is_refused_in_one_line(write, text, expected):
    assert expected in refusal(write(text))


def test_a_byte_order_mark_is_passed_over(write):
    assert load_config(write(b"\xef\xbb\xbfMODEL: {FCOS: {NUM_CLASSES: 7}}")).fcos.num_classes == 7


def test_the_home_folder_in_a_base(write, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    write("MODEL: {FCOS: {NUM_CLASSES: 7}}", "home/base.yaml")
    assert load_config(write("_BASE_: ~/base.yaml\n")).fcos.num_classes == 7
    assert f"looked for '{tmp_path}/home/gone.yaml'" in refusal(write("_BASE_: ~/gone.yaml\n"))
    assert "is not a file" in refusal(write("_BASE_: ~nobody-of-this-name/base.yaml\n"))


def test_an_absolute_base(write, tmp_path):
    base = write("MODEL: {FCOS: {NUM_CLASSES: 7}}", "base.yaml")
    (tmp_path / "below").mkdir()
    assert load_config(write(f"_BASE_: {base}\n", "below/my.yaml")).fcos.num_classes == 7


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        ("https://example.org/Base.yaml", "is a URL, and nothing is fetched"),
        ("detectron2://Base.yaml", "is a URL, and nothing is fetched"),
        ("A" * 300, "is not a file"),
        ('"a\\0b"', "is not a file"),
        (".", "is not a file"),
        ("''", "must be one path"),
        ("5", "must be one path"),
    ],
)
def test_bases_that_cannot_be_read(write, base, expected):
    message = refusal(write(f"_BASE_: {base}\n"))
    assert message.startswith("FILE:1: _BASE_ ")
    assert expected in message


def test_a_long_chain_of_bases_is_refused(write):
    for number in range(25):
        write(f"_BASE_: {number + 1}.yaml\n", f"{number}.yaml")
    write("VERSION: 2\n", "25.yaml")
    with pytest.raises(ConfigError, match="more than 20 files are based on each other"):
        load_config(write("_BASE_: 0.yaml\n"))
    assert load_config(write("_BASE_: 10.yaml\n")).fcos.num_classes == 80


@pytest.mark.parametrize("name", ["A" * 300, "a\0b", "A/" * 3000, "~", "\ud800"])
def test_names_that_no_system_takes_are_no_configs(name):
    with pytest.raises(ConfigError, match="neither a file nor a known name"):
        load_config(name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_must_not_be_read(write):
    path = write("MODEL: {}\n")
    path.chmod(0)
    assert "Cannot read the config FILE: Permission denied" in refusal(path)


def test_a_file_that_cannot_be_read(write, monkeypatch):
    path = write("MODEL: {}\n")

    def fail(*args, **kwargs):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "open", fail)
    assert "Cannot read the config FILE: Input/output error" in refusal(path)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)


@settings(deadline=None, max_examples=150)
@given(key=st.sampled_from(sorted(config_keys.KEYS)), value=VALUES)
@example(key="MODEL.FCOS.NMS_TH", value=10**400)
@example(key="MODEL.FCOS.FPN_STRIDES", value=[2**70] * 5)
def test_any_value_of_any_key_loads_or_is_refused(tmp_path_factory, key, value):
    import yaml

    path = tmp_path_factory.getbasetemp() / "any.yaml"
    *parts, name = key.split(".")
    document: object = {name: value}
    for part in reversed(parts):
        document = {part: document}
    path.write_text(yaml.safe_dump(document), encoding="utf-8", errors="replace")
    loads_or_is_refused(path)


@pytest.mark.parametrize("seed", range(300))
def test_damaged_configs_load_or_are_refused(tmp_path, seed):
    draw = random.Random(seed)
    text = bytearray(TINY_YAML.encode())
    for _ in range(draw.randint(1, 6)):
        place = draw.randrange(len(text))
        piece = draw.choice(
            [b"", b"\n", b"\t", b": ", b"- ", b"[", b"{", b"&a ", b"*a", b"!!int ", b"0x", b"\xff", b"-1"]
        )
        text[place : place + draw.randint(0, 4)] = piece
    path = tmp_path / "damaged.yaml"
    path.write_bytes(text)
    loads_or_is_refused(path)


def loads_or_is_refused(path: Path) -> None:
    try:
        assert load_config(path).name == path.stem
    except ConfigError as error:
        assert len(str(error).splitlines()) == 1
        assert len(str(error)) < 4000
