"""``edgeblend doctor``: what this machine has, and what it lacks."""

import json
from importlib.metadata import version
from types import SimpleNamespace

import numpy as np
import pytest

import edgeblend
from edgeblend import engine_packages
from edgeblend.terminal import requirements


def test_it_lists_openvino_with_its_devices(cli_json):
    report = cli_json(["doctor"])
    engine = report["engines"]["openvino"]
    assert version("openvino").startswith(engine["version"])
    assert "CPU" in [device["device"] for device in engine["devices"]]
    assert all(device["name"] and device["precisions"] for device in engine["devices"])
    assert report["machine"]["edgeblend"] == edgeblend.__version__
    assert report["machine"]["cpus"] >= 1
    assert report["packages"]["numpy"] == np.__version__


def test_it_prints_the_same_for_people(cli):
    code, stdout, stderr = cli(["doctor"])
    assert (code, stderr) == (0, "")
    assert f"\n  openvino {version('openvino').rsplit('.', 1)[0]}" in stdout
    assert "\n    CPU" in stdout


def test_an_engine_that_is_missing_says_how_to_install_it(monkeypatch, cli, cli_json):
    monkeypatch.setitem(__import__("sys").modules, "openvino", None)
    report = cli_json(["doctor"])
    assert 'pip install "edgeblend[openvino]"' in report["engines"]["openvino"]["error"]
    assert 'pip install "edgeblend[openvino]"' in cli(["doctor"])[1]


def test_nothing_but_the_runtime(process):
    done = process(["doctor", "--json"], blocked=("openvino", "torch", "yaml", "supervision"))
    assert (done.returncode, done.stderr) == (0, "")
    assert "error" in json.loads(done.stdout)["engines"]["openvino"]


REQUIREMENTS = ["numpy>=1.26", "no-such-package; extra == 'quantize'", "msgspec>=99,<100; extra == 'train'"]


def test_packages_that_are_missing_or_of_another_version(monkeypatch, cli, cli_json):
    monkeypatch.setattr(requirements, "requires", lambda name: REQUIREMENTS)
    report = cli_json(["doctor"])
    assert report["packages"] == {
        "numpy": np.__version__,
        "no-such-package": None,
        "msgspec": version("msgspec"),
    }
    needed = report["requirements"]
    assert {name: found["satisfied"] for name, found in needed.items()} == {
        "numpy": True,
        "no-such-package": None,
        "msgspec": False,
    }
    assert (needed["msgspec"]["needs"], needed["msgspec"]["extras"]) == ("<100,>=99", ["train"])
    stdout = cli(["doctor"])[1]
    assert f"{np.__version__} (>=1.26)" in stdout
    assert "not installed, for quantize" in stdout
    assert f"{version('msgspec')}, but edgeblend needs <100,>=99" in stdout


def test_it_lists_every_package_that_the_project_names(cli_json):
    """The list is the distribution's own, and so cannot be out of date."""
    pinned = {"torch", "nncf", "litert-torch", "ai-edge-quantizer", "ethos-u-vela"}
    assert pinned | {"numpy", "msgspec", "openvino"} <= set(cli_json(["doctor"])["packages"])


def test_without_metadata_there_is_no_list(monkeypatch, cli_json):
    def fail(name):
        raise requirements.PackageNotFoundError(name)

    monkeypatch.setattr(requirements, "requires", fail)
    assert cli_json(["doctor"])["packages"] == {}


@pytest.mark.parametrize(
    ("installed", "bounds", "expected"),
    [
        ("2.13.0+cpu", ["==2.13.0"], True),
        ("2.13.1", ["==2.13.0"], False),
        ("3.4.9", [">=3.4", "<3.5"], True),
        ("3.5", [">=3.4", "<3.5"], False),
        ("3.10", [">=3.4"], True),
        ("3.4", ["==3.4.0"], True),
        ("2026.4.1-1-abc", [">=2026.1"], True),
        ("1", [], True),
        ("1.2", ["~=1.2"], None),
        ("unknown", [">=1"], None),
    ],
)
def test_versions(installed, bounds, expected):
    assert requirements.satisfies(installed, bounds) is expected


def broken_backend():
    def engine_info():
        raise RuntimeError("driver:\nnot loaded")

    return SimpleNamespace(engine_info=engine_info)


@pytest.mark.parametrize("step", ["load", "look"])
def test_an_engine_that_fails_does_not_hide_the_others(step, monkeypatch, cli, cli_json):
    """Engines of other packages may raise anything, and this command is for finding out."""

    def load():
        if step == "load":
            raise OSError("libengine.so.1: cannot open shared object file")
        return broken_backend()

    entry = SimpleNamespace(name="abacus", value="abacus.backend", load=load)
    monkeypatch.setattr(engine_packages, "entry_points", lambda group: [entry])
    engines = cli_json(["doctor"])["engines"]
    assert {"load": "libengine.so.1", "look": "driver: not loaded"}[step] in engines["abacus"]["error"]
    assert "devices" in engines["openvino"]
    assert "abacus: " in cli(["doctor"])[1]
