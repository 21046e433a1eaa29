"""The directive ``command-help``: what ``edgeblend COMMAND --help`` prints, taken from the parser itself."""

from __future__ import annotations

import argparse
import os
from typing import Any
from unittest import mock

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from edgeblend.cli import build_parser

_COLUMNS = "78"
"""Characters of a line of help."""


def command_parsers() -> dict[str, argparse.ArgumentParser]:
    """Return the parser of every command, by the command's name."""
    parser = build_parser()
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    raise AssertionError("the command line has no commands")


def help_of(command: str) -> str:
    """Return the help of a command, as a terminal of 78 columns shows it."""
    with mock.patch.dict(os.environ, COLUMNS=_COLUMNS, NO_COLOR="1"):
        return command_parsers()[command].format_help()


class CommandHelp(SphinxDirective):
    """The help of the command that the directive's argument names."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return a literal block."""
        text = help_of(self.arguments[0])
        return [nodes.literal_block(text, text, language="text", classes=["command-help"])]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("command-help", CommandHelp)
    return {"parallel_read_safe": True}
