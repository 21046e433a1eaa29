"""``edgeblend compare`` where a file operation fails: its files are whole or as they were."""

from __future__ import annotations

import gc
import json
import re
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from faults import failing, interrupted, no_permission, no_space
from small_bundle import write_small_bundle

from edgeblend import errors
from edgeblend.calibration.evaluation import compare as comparing
from edgeblend.cli import main

OLD = b"an earlier report"


@pytest.fixture
def arguments(tiny_bundle, labelled_pictures, place, monkeypatch):
    """A comparison of a bundle with its copy, without the processes that memory is measured in."""
    monkeypatch.setattr(comparing, "measure_peak_memory", lambda bundle, pictures, **options: 12_300_000)
    shutil.copytree(tiny_bundle.folder, "copy")
    pictures, labels = labelled_pictures / "pictures", labelled_pictures / "labels.json"
    argv = [
        "compare",
        tiny_bundle.folder,
        "copy",
        "--images",
        pictures,
        "--annotations",
        labels,
        "--limit",
        "1",
    ]
    return [str(argument) for argument in argv]


@pytest.fixture
def measured_once(arguments, monkeypatch):
    """Have the comparison measured once, whatever becomes of its files."""
    genuine, made = comparing.compare, []

    def compare(*args, **options):
        if not made:
            made.append(genuine(*args, **options))
        return made[0]

    monkeypatch.setattr(comparing, "compare", compare)
    return [*arguments, "--html", "page.html", "--markdown", "table.md", "--pictures", "0", "--overwrite"]


@pytest.mark.parametrize("raise_it", [no_space, no_permission, interrupted])
@pytest.mark.parametrize("there", [True, False], ids=["replaced", "new"])
def test_every_file_operation_may_fail_once(raise_it, there, measured_once, capsys):
    names = ("page.html", "table.md")

    def begin():
        for name in names:
            Path(name).write_bytes(OLD) if there else Path(name).unlink(missing_ok=True)
        capsys.readouterr()

    begin()
    with failing(None) as seen:
        assert main(measured_once) == 0
    count = len(seen.operations)
    whole = {name: Path(name).read_bytes() for name in names}
    assert count >= 6
    for number in range(count):
        begin()
        with failing(number, raise_it):
            code = main(measured_once)
        stdout, stderr = capsys.readouterr()
        for name in names:
            found = Path(name).read_bytes() if Path(name).exists() else None
            assert found in (whole[name], OLD if there else None), (number, name)
        assert not [path for path in Path.cwd().iterdir() if path.name.startswith(".")], number
        # Some operations do not matter, such as putting a folder's names on disk where that is not possible.
        assert code in (0, 130 if raise_it is interrupted else 9), (number, stderr)
        assert stderr.count("\n") == (code != 0) and "Traceback" not in stderr, (number, stderr)
        if code == 9:
            assert "OK" in stdout  # what was measured is printed


@pytest.fixture
def small(place, small_bundle, small_labels, monkeypatch):
    """A comparison of small bundles, a folder and a zip, on one picture; all of it is in one place."""
    monkeypatch.setattr(comparing, "measure_peak_memory", lambda bundle, pictures, **options: 12_300_000)
    shutil.copytree(small_bundle.folder, "float")
    write_small_bundle(place / "packed.zip")
    shutil.copytree(small_labels, "data")
    argv = ["compare", "float", "packed.zip", "--images", "data/pictures", "--limit", "1"]
    return [*argv, "--annotations", "data/labels.json", "--html", "page.html", "--markdown", "table.md"]


FAILED = re.compile(r"^packed\.zip failed: packed\.zip: cannot be read: .*\n$", re.MULTILINE)
"""What the terminal says of a candidate."""


@pytest.mark.parametrize("how", [no_space, no_permission, interrupted])
@pytest.mark.long
def test_every_file_operation_of_all_of_it_may_fail_once(how, small, place, capsys, monkeypatch):
    """Also those that read bundles, pictures and labels, unpack a zip, and keep results on the way."""
    unheard = []  # Ctrl-C while Python itself tidies up
    monkeypatch.setattr(sys, "unraisablehook", unheard.append)
    assert main(small) == 0  # the first time libraries open files of their own
    Path("page.html").unlink(), Path("table.md").unlink()
    ends = Counter()
    for number in range(1000):
        capsys.readouterr()
        with failing(number, how, below=place) as seen:
            code = main(small)
        gc.collect()
        if len(seen.operations) <= number:
            break
        what = f"{number}: {seen.operations[number]}"
        stdout, stderr = capsys.readouterr()
        ends[code] += 1
        assert stderr.count("\n") == (code not in (0, 11)) and "Traceback" not in stderr, (what, stderr)
        assert "unexpected" not in stdout + stderr, (what, stderr)
        assert code != 11 or FAILED.search(stdout), (what, stdout)
        assert list((place / "temp").iterdir()) == [], what
        for name, end in (("page.html", "</html>\n"), ("table.md", "\n")):
            if Path(name).exists():
                assert Path(name).read_text().endswith(end), what
                Path(name).unlink()
        assert not [path for path in place.iterdir() if path.name.startswith(".")], what
    assert number > 50
    wanted = {0, 130} if how is interrupted else {0, 3, 6, 9, 11}
    assert set(ends) == wanted
    assert len(unheard) < 10


def test_results_that_cannot_be_kept_on_the_way(arguments, monkeypatch, capsys):
    monkeypatch.setattr(tempfile, "tempdir", str(Path("nowhere").absolute()))
    assert main([*arguments, "--json"]) == errors.OutputError.exit_code
    stdout, stderr = capsys.readouterr()
    assert (stdout, stderr.count("\n")) == ("", 1)
    assert "nowhere: results cannot be kept there" in stderr


def test_it_goes_well_otherwise(arguments, capsys):
    assert main([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["candidates"][0]["status"] == "OK"
