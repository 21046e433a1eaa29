"""The strict build of the documentation fails where it should; the whole of it is built by ``.ci/run``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"

pytestmark = pytest.mark.skipif(not DOCS.is_dir(), reason="the documentation is not here")
pytest.importorskip("sphinx")
pytest.importorskip("furo")


def build(page: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Build a page as ``.ci/run`` builds all, with the settings of the documentation."""
    source = folder / "source"
    source.mkdir()
    (source / "static").mkdir()
    (source / "index.md").write_text(page)
    (source / "other.md").write_text("---\norphan:\n---\n# Other\n\n## Part\n")
    extensions = "myst_parser,sphinx.ext.autodoc,sphinx.ext.napoleon,command_help"
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-n", "-q", "-c", str(DOCS)]
    options = ["-D", f"extensions={extensions}", "-D", f"html_static_path={source / 'static'}"]
    places = [str(source), str(folder / "site")]
    return subprocess.run([*command, *options, *places], capture_output=True, text=True, timeout=300)


def test_a_good_page(tmp_path: Path) -> None:
    page = "# Good\n\n[other](other.md#part)\n\n```{command-help} doctor\n```\n"
    done = build(page, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "usage: edgeblend doctor" in (tmp_path / "site" / "index.html").read_text()


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("[dead](nowhere.md)", "cross-reference target not found: 'nowhere.md'"),
        ("[dead](other.md#nothing)", "'nothing'"),
        ("![dead](nowhere.png)", "image file not readable"),
        ("```{eval-rst}\n:func:`edgeblend.nothing`\n```", "reference target not found: edgeblend.nothing"),
    ],
    ids=["page", "heading", "image", "name"],
)
def test_what_is_dead_fails(page: str, said: str, tmp_path: Path) -> None:
    done = build(f"# Bad\n\n{page}\n", tmp_path)
    assert done.returncode != 0
    assert said in done.stderr
