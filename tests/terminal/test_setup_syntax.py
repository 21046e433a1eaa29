"""Bundles with options of their own, as they are written on the command line."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from edgeblend.calibration.measuring.setups import Setup
from edgeblend.errors import InputError
from edgeblend.terminal.setup_syntax import parse_setup


@pytest.mark.parametrize(
    ("text", "path", "options"),
    [
        ("r50", "r50", {}),
        ("r50@device=GPU", "r50", {"device": "GPU"}),
        ("r50@device=GPU,threads=2", "r50", {"device": "GPU", "threads": 2}),
        ("a/r50.zip@precision=bf16,name=mine", "a/r50.zip", {"precision": "bf16", "name": "mine"}),
        ("r50@device=AUTO:GPU,CPU,threads=2", "r50", {"device": "AUTO:GPU,CPU", "threads": 2}),
        ("r50@backend=tflite,device=/usr/lib/x.so", "r50", {"backend": "tflite", "device": "/usr/lib/x.so"}),
        ("r50@property.HINT=a=b,property.N=2", "r50", {"properties": {"HINT": "a=b", "N": "2"}}),
        ("v@1/r50", "v@1/r50", {}),
        ("v@lr=1/r50@threads=1", "v@lr=1/r50", {"threads": 1}),
    ],
)
def test_what_is_read(text, path, options, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert parse_setup(text) == Setup(Path(path), **options)


def test_a_path_that_exists_is_taken_as_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("r50@device=GPU").mkdir()
    assert parse_setup("r50@device=GPU") == Setup(Path("r50@device=GPU"))
    assert parse_setup("r50@device=CPU") == Setup(Path("r50"), device="CPU")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("r50@speed=2", "r50@speed=2: unknown option 'speed'; the options are device, precision"),
        ("r50@threads=many", "threads is 'many'; give a whole number"),
        ("r50@precision=f64", "unknown precision 'f64'; choose one of f32, bf16, f16, engine"),
        ("r50@device=", "device has no value"),
        ("r50@threads=1,threads=2", "threads is given twice"),
        ("r50@property.A=1,property.A=2", "property.A is given twice"),
    ],
)
def test_wrong_usage_names_what_was_written(text, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(argparse.ArgumentTypeError) as caught:
        parse_setup(text)
    assert words in str(caught.value)


def test_values_out_of_range_are_refused_as_in_python():
    with pytest.raises(InputError, match="threads must be at least 1, got 0"):
        parse_setup("r50@threads=0")
