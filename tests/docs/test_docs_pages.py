"""What the pages show holds: commands parse, Python compiles and imports, every command has its section."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
import textwrap
from pathlib import Path

import pytest

import edgeblend
from edgeblend.cli import build_parser

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES = [page for page in PAGES if page.is_file() and "api" not in page.parts]
BLOCK = re.compile(r"^ *```(\w+)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)

pytestmark = pytest.mark.skipif(len(PAGES) < 20, reason="the documentation is not here")


def blocks(text: str, *languages: str) -> list[str]:
    """Return the code blocks of a page in some languages."""
    return [textwrap.dedent(code) for language, code in BLOCK.findall(text) if language in languages]


def commands(text: str) -> list[list[str]]:
    """Return the arguments of every ``edgeblend`` command in a page's shell blocks; patterns are left out."""
    lines = [line for code in blocks(text, "sh", "text") for line in code.replace("\\\n", " ").splitlines()]
    parts = [part.strip() for line in lines for part in line.split("&&")]
    called = [part for part in parts if part.startswith(("edgeblend ", ".venv/bin/edgeblend "))]
    return [shlex.split(part)[1:] for part in called if "[" not in part]


def refused(arguments: list[str]) -> bool:
    try:
        build_parser().parse_args(arguments)
    except SystemExit:
        return True
    return False


def misnamed(code: str) -> list[str]:
    """Return what a snippet of Python takes from edgeblend that is not there."""
    wrong = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("edgeblend"):
            module = importlib.import_module(node.module or "")
            wrong += [f"{node.module}.{name.name}" for name in node.names if not hasattr(module, name.name)]
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "edgeblend"
        ):
            wrong += [] if node.attr in edgeblend.__all__ else [f"edgeblend.{node.attr}"]
    return wrong


def long_lines(text: str) -> list[str]:
    """Return lines of prose over 120 characters; tables, code and links alone on a line cannot break."""
    prose = BLOCK.sub("", text).splitlines()
    return [line for line in prose if len(line) > 120 and not line.lstrip().startswith(("|", "!["))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert [arguments for arguments in commands(text) if refused(arguments)] == []
    assert [name for code in blocks(text, "python") for name in misnamed(code)] == []
    assert long_lines(text) == []


def test_there_is_something_to_check() -> None:
    texts = [page.read_text(encoding="utf-8") for page in PAGES]
    assert sum(len(commands(text)) for text in texts) > 25
    assert sum(len(blocks(text, "python")) for text in texts) > 12


def test_the_checks_find_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    page = "```sh\nedgeblend run bundle a.jpg --out x --fast\nedgeblend doctor && edgeblend inspect a\n```\n"
    assert [refused(arguments) for arguments in commands(page)] == [True, False, False]
    code = "import edgeblend\nedgeblend.convrt\nfrom edgeblend.draw.overlay import drew, draw\n"
    assert sorted(misnamed(code)) == ["edgeblend.convrt", "edgeblend.draw.overlay.drew"]
    assert len(long_lines(f"{'x' * 121}\n{'y' * 120}\n| {'z' * 121} |\n```text\n{'c' * 200}\n```\n")) == 1


def test_every_command_has_a_section_with_its_help() -> None:
    text = (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
    sections = re.findall(r"^## (\w+)$", text, re.MULTILINE)
    helped = re.findall(r"^```\{command-help\} (\w+)$", text, re.MULTILINE)
    usage = build_parser().format_help()
    there = re.findall(
        r"^    (\w+)(?: |$)", usage.partition("commands:")[2].partition("exit codes")[0], re.MULTILINE
    )
    assert len(there) >= 10
    assert sections == helped
    assert sorted(sections) == sorted(there)
