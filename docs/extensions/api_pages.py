"""Writes the pages of the API reference from ``__all__``, before Sphinx reads them: a page per name."""

from __future__ import annotations

import inspect
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any, is_typeddict

from public_names import data_types, grouped_names, public_modules, public_names
from sphinx.application import Sphinx

_INDEX = """\
# API reference

Every public name, made from the docstrings of the installed version. [Public API](../public-api.md) says
what is kept stable. `edgeblend.__version__` is the version, a string.

"""


_ATTRIBUTES = ("attribute", "data", "property")
_HIDDEN_COLON = "\ue000"


def write_api_pages(folder: Path) -> None:
    """Write ``index.md``, a page per public name and ``data-types.md`` into a folder of its own."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    index = [_INDEX]
    for title, names in grouped_names():
        index += [f"## {title}\n", *_table("edgeblend", names)]
        for name in names:
            (folder / f"{name}.md").write_text(_page("edgeblend", name), encoding="utf-8")
    known = {id(value) for value in public_names("edgeblend").values()}
    for module in public_modules()[1:]:
        own = [name for name, value in public_names(module).items() if id(value) not in known]
        if own:
            index += [f"## {module}\n", *_table(module, own)]
        for name in own:
            (folder / f"{name}.md").write_text(_page(module, name), encoding="utf-8")
    index += ["## Data types\n", "[What the functions above take and return](data-types.md).\n"]
    index += ["```{toctree}", ":hidden:", ":glob:", "", "*", "```", ""]
    (folder / "index.md").write_text("\n".join(index), encoding="utf-8")
    (folder / "data-types.md").write_text(_data_types(), encoding="utf-8")


def _table(module: str, names: Iterable[str]) -> list[str]:
    rows = [f"| [{name}]({name}.md) | {_summary(_value_of(module, name))} |" for name in names]
    return ["| name | what |", "| --- | --- |", *rows, ""]


def _value_of(module: str, name: str) -> Any:  # noqa: ANN401 - a class or a function
    return public_names(module)[name]


def _summary(value: object) -> str:
    if not callable(value):
        return ""  # its class would answer
    return (inspect.getdoc(value) or "").partition("\n\n")[0].replace("\n", " ")


def _page(module: str, name: str) -> str:
    value = _value_of(module, name)
    head = f"# {name}\n\nImport it as `{module}.{name}`.\n\n"
    if not isinstance(value, type):
        directive = "autofunction" if callable(value) else "autodata"
        return head + _rst(f".. {directive}:: {module}.{name}")
    if issubclass(value, BaseException):
        return head + _rst(f".. autoexception:: {module}.{name}\n   :show-inheritance:\n   :members:")
    special = [method for method in ("__call__", "__getitem__", "__iter__") if method in vars(value)]
    options = f"   :members:\n   :special-members: {', '.join(special)}\n" if special else "   :members:\n"
    return head + _rst(f".. autoclass:: {module}.{name}\n{options}")


def _data_types() -> str:
    head = "# Data types\n\nWhat public functions take and return, beside the classes with own pages.\n\n"
    places = data_types()
    sections = (
        f"## {place.rpartition('.')[2]}\n\n"
        + _rst(f".. autoclass:: {place}\n   :members:\n   :undoc-members:")
        for place in places
    )
    return head + "\n".join(sections)


def _rst(text: str) -> str:
    return f"```{{eval-rst}}\n{text.rstrip()}\n```\n"


def _before_reading(app: Sphinx) -> None:
    write_api_pages(Path(app.srcdir) / "reference" / "api")


def _hide_colons(app: Sphinx, what: str, name: str, value: object, options: object, lines: list[str]) -> None:
    """Keep napoleon from taking the first words of an attribute's text, up to a colon, for its type."""
    if what in _ATTRIBUTES and lines:
        lines[0] = lines[0].replace(":", _HIDDEN_COLON)


def _show_colons(app: Sphinx, what: str, name: str, value: object, options: object, lines: list[str]) -> None:
    """Undo ``_hide_colons``."""
    if what in _ATTRIBUTES:
        lines[:] = [line.replace(_HIDDEN_COLON, ":") for line in lines]


def _leave_out_tests(
    app: Sphinx, what: str, name: str, value: object, skip: bool, options: object
) -> bool | None:
    """Leave the tests of a contract out: who derives from one needs its fixtures."""
    return True if name.startswith("test_") else None


def _hide_constructors(
    app: Sphinx,
    what: str,
    name: str,
    value: object,
    options: object,
    signature: str | None,
    returned: str | None,
) -> tuple[str, str] | None:
    """Show no signature of classes that people do not make themselves, but load or are given."""
    made_inside = (
        what == "class"
        and not is_typeddict(value)
        and (name in data_types() or hasattr(value, "load") or re.search(r"[(\s]_\w", signature or ""))
    )
    return ("", "") if made_inside else None


def setup(app: Sphinx) -> dict[str, Any]:
    """Write the pages when a build begins."""
    app.connect("builder-inited", _before_reading)
    app.connect("autodoc-process-docstring", _hide_colons, priority=100)
    app.connect("autodoc-process-docstring", _show_colons, priority=900)
    app.connect("autodoc-skip-member", _leave_out_tests)
    app.connect("autodoc-process-signature", _hide_constructors)
    return {"parallel_read_safe": True}
