"""What the README and the examples show is run as it stands."""

from __future__ import annotations

import re
import runpy
import shlex
import shutil
import sys
from pathlib import Path

import cv2
import pytest

from edgeblend.cli import main
from edgeblend.model.checkpoints.stand_in import write_stand_in_checkpoint

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")

pytest.importorskip("openvino")


def blocks(language: str, heading: str) -> list[str]:
    section = README.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(rf"```{language}\n(.*?)```", section, flags=re.DOTALL)


@pytest.fixture(scope="module")
def place(tmp_path_factory, photograph) -> Path:
    """A folder with what the README's readers have: a checkpoint and images."""
    folder = tmp_path_factory.mktemp("readme")
    write_stand_in_checkpoint("DLA_34_syncbn_4x", folder / "DLA_34_syncbn_4x.pth")
    (folder / "images").mkdir()
    cv2.imwrite(str(folder / "images" / "coffee.jpg"), photograph)
    return folder


def test_the_six_lines(small_bundle, photograph, tmp_path, monkeypatch, capsys) -> None:
    """With a bundle of a few layers at the place where the demo leaves its own."""
    monkeypatch.chdir(tmp_path)
    (snippet,) = re.findall(r"```python\n(.*?)```", README.partition("## Try it")[0], flags=re.DOTALL)
    lines = [line for line in snippet.splitlines() if line.strip()]
    assert len(lines) == 6
    (image,) = re.findall(r'read_image\("(.*?)"\)', snippet)
    (tmp_path / image).parent.mkdir(parents=True)
    cv2.imwrite(str(tmp_path / image), photograph)
    shutil.copytree(small_bundle.folder, tmp_path / "edgeblend-demo" / "bundle")
    names: dict[str, object] = {}
    exec(compile(snippet, "README.md", "exec"), names)
    assert names["masks"].shape == (len(names["instances"]), 400, 600)
    names["segmenter"].close()


@pytest.mark.long
def test_the_commands(place, monkeypatch, capsys) -> None:
    monkeypatch.chdir(place)
    (commands,) = blocks("sh", "Use it from the command line")
    for line in commands.splitlines():
        program, *arguments = shlex.split(line)
        assert program == "edgeblend"
        assert main(arguments) == 0, capsys.readouterr().err
    assert (place / "results" / "instances.json").is_file()
    assert (place / "results" / "overlays" / "coffee.jpg").is_file()


@pytest.mark.long
def test_the_python_snippet(place, monkeypatch) -> None:
    monkeypatch.chdir(place)
    (snippet,) = blocks("python", "Use it from Python")
    names: dict[str, object] = {}
    exec(compile(snippet, "README.md", "exec"), names)
    assert (place / "dla34.zip").is_file()
    assert names["masks"].shape == (len(names["records"]), 400, 600)
    assert len(names["records"]) > 0


def test_the_quickstart(tiny_model, photograph, tmp_path, monkeypatch, capsys) -> None:
    """With a checkpoint of one's own; without one it takes the demo model."""
    monkeypatch.chdir(tmp_path)
    picture = tmp_path / "coffee.png"
    cv2.imwrite(str(picture), photograph)
    config = tmp_path / "coco.yaml"
    config.write_text(tiny_model.config.read_text().replace("NUM_CLASSES: 3", "NUM_CLASSES: 80"))
    checkpoint = write_stand_in_checkpoint(config, tmp_path / "coco.pth")
    script = ROOT / "examples" / "quickstart.py"
    names = tmp_path / "names.txt"
    names.write_text("".join(f"thing {number}\n" for number in range(80)))
    monkeypatch.setattr(sys, "argv", [str(script), *map(str, (checkpoint, config, names, picture))])
    runpy.run_path(str(script), run_name="__main__")
    assert "instance" in capsys.readouterr().out
    assert (tmp_path / "quickstart-bundle" / "manifest.json").is_file()


def test_the_quickstart_is_short() -> None:
    lines = (ROOT / "examples" / "quickstart.py").read_text().splitlines()
    assert len([line for line in lines if line.strip()]) <= 20


@pytest.mark.skipif(not (ROOT / "LICENSE").is_file(), reason="the tests lie outside the checkout")
def test_every_link_to_a_file_leads_somewhere() -> None:
    texts = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").glob("*/README.md")]
    links = [
        (text, link)
        for text in texts
        for link in re.findall(r"\]\((?!https?:)([^)#]+)", text.read_text(encoding="utf-8"))
    ]
    # The build of the documentation makes the API reference, and checks these.
    made, kept = ROOT / "docs" / "reference" / "api", []
    for text, link in links:
        target = (text.parent / link).resolve()
        if made not in (*target.parents, *text.parents):
            kept.append((text.name, link, target))
    assert len(kept) > 100
    assert [(name, link) for name, link, target in kept if not target.exists()] == []
