"""``edgeblend compare`` where a file operation fails: its files are whole or as they were."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import pytest
from faults import failing, interrupted, no_permission, no_space

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


def test_results_that_cannot_be_kept_on_the_way(arguments, monkeypatch, capsys):
    monkeypatch.setattr(tempfile, "tempdir", str(Path("nowhere").absolute()))
    assert main([*arguments, "--json"]) == errors.OutputError.exit_code
    stdout, stderr = capsys.readouterr()
    assert (stdout, stderr.count("\n")) == ("", 1)
    assert "nowhere: results cannot be kept there" in stderr


def test_it_goes_well_otherwise(arguments, capsys):
    assert main([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["candidates"][0]["status"] == "OK"
