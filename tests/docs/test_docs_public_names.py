"""The API reference lists exactly what ``__all__`` does."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

import edgeblend

DOCS = Path(__file__).parents[2] / "docs"

pytestmark = pytest.mark.skipif(not DOCS.is_dir(), reason="the documentation is not here")
pytest.importorskip("torch")


@pytest.fixture
def extensions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(DOCS / "extensions"))
    for name in ("public_names", "api_pages"):
        monkeypatch.delitem(sys.modules, name, raising=False)


@pytest.fixture
def public_names(extensions: None) -> ModuleType:
    import public_names

    return public_names


@pytest.fixture
def api_pages(extensions: None) -> ModuleType:
    pytest.importorskip("sphinx")
    import api_pages

    return api_pages


def listed(folder: Path) -> list[str]:
    """Return the names that the index links to."""
    return re.findall(r"^\| \[(\w+)\]\(\1\.md\)", (folder / "index.md").read_text(), re.MULTILINE)


def test_every_public_name_has_its_page_and_no_other(api_pages, public_names, tmp_path: Path) -> None:
    api_pages.write_api_pages(tmp_path / "api")
    expected = {name for name in edgeblend.__all__ if name != "__version__"}
    others = {
        name
        for module in public_names.public_modules()
        for name, value in public_names.public_names(module).items()
        if value not in [getattr(edgeblend, known) for known in edgeblend.__all__]
    }
    assert others >= {"SegmenterInfo", "EngineContract"}
    assert sorted(listed(tmp_path / "api")) == sorted(expected | others)
    pages = {page.stem for page in (tmp_path / "api").iterdir()}
    assert pages == expected | others | {"index", "data-types"}


def test_a_new_name_is_listed(api_pages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edgeblend, "__all__", [*edgeblend.__all__, "brand_new"])
    monkeypatch.setattr(edgeblend, "brand_new", listed, raising=False)
    api_pages.write_api_pages(tmp_path / "api")
    assert "brand_new" in listed(tmp_path / "api")
    assert "## More" in (tmp_path / "api" / "index.md").read_text()


def test_the_public_modules_are_those_that_the_page_names(public_names) -> None:
    page = (DOCS / "reference" / "public-api.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(edgeblend[\w.]*)` \|", page, re.MULTILINE)
    assert sorted(rows) == sorted(public_names.public_modules())


def test_data_types_are_what_results_are_made_of(public_names) -> None:
    places = public_names.data_types()
    assert "edgeblend.calibration.evaluation.compare_report.CompareReport" in places
    assert "edgeblend.calibration.evaluation.accuracy.AveragePrecision" in places  # of the report's Accuracy
    assert not [place for place in places if not place.startswith("edgeblend.")]
    assert not [place for place in places if place.endswith(".Segmenter")]  # has a page of its own
