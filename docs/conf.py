"""How Sphinx builds the documentation: ``python -m sphinx -W --keep-going -n docs docs/_build``."""

import sys
from pathlib import Path

import edgeblend

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

project = "edgeblend"
author = "The edgeblend authors"
version = release = edgeblend.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "api_pages",
    "command_help",
]
exclude_patterns = ["_build"]
suppress_warnings = ["ref.python"]  # a field called `bytes` beside the type

myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]

add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
maximum_signature_line_length = 80
napoleon_numpy_docstring = False
napoleon_use_rtype = False

# What other packages define is not linked: a build needs no network.
nitpick_ignore_regex = [
    (r"py:.*", r"(_pytest|collections|msgspec|numpy|os|pathlib|supervision|tempfile|types|typing)\..*"),
    (r"py:.*", r"[0-9].*"),  # the limits of a range
    # Names that only type checkers import, and a type variable.
    (r"py:class", r"Image|ChannelOrder|NDArray|np\.uint8|edgeblend\.runtime\.segmenter\._Given"),
]

html_theme = "furo"
html_title = "edgeblend"
html_show_sourcelink = False
html_static_path = ["static"]
html_css_files = ["site.css"]
html_theme_options = {"navigation_with_keys": False}
