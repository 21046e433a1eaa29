"""Our web pages: how they look, light and dark, and the HTML of what they are made of."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from html import escape

from edgeblend import __version__
from edgeblend.report.tables import GroupedTable, Table

_FIGURE = re.compile(r"[-+\d.() ]+")
_STATUSES = ("OK", "DROP", "FAILED")
"""Texts of cells that have a colour."""

_STYLE = """\
:root { color-scheme: light dark; --line: #8884; --soft: #6b7280; --accent: #2f7ed8; --back: #fff;
  --good: #15803d; --bad: #c2410c; --failed: #b91c1c;
  --c0: #6b7280; --c1: #2563eb; --c2: #d97706; --c3: #0f9f77; --c4: #9333ea; --c5: #db2777; --c6: #65a30d; }
@media (prefers-color-scheme: dark) {
  :root { --soft: #9ca3af; --accent: #6ea8fe; --back: #16181d;
    --good: #4ade80; --bad: #fb923c; --failed: #f87171;
    --c0: #9ca3af; --c1: #60a5fa; --c2: #fbbf24; --c3: #34d399; --c4: #c084fc; --c5: #f472b6; --c6: #a3e635; }
}
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 66rem; margin: 0 auto; padding: 2rem 1.25rem 4rem;
  background: var(--back); }
h1 { font-size: 1.9rem; margin: 0; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .75rem; }
h3 { font-size: 1rem; margin: 1.5rem 0 .5rem; }
p { max-width: 48rem; margin: .5rem 0; }
a { color: var(--accent); }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .45rem .75rem; text-align: right; white-space: nowrap; }
th, td { border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; padding-left: 0; font-weight: 600; }
th { color: var(--soft); font-weight: 500; }
.scroll { overflow-x: auto; margin: .75rem 0; }
.facts { color: var(--soft); font-size: .85rem; list-style: none; padding: 0; margin: .75rem 0; }
.status { font-weight: 600; } .OK { color: var(--good); } .DROP { color: var(--bad); }
.FAILED { color: var(--failed); }
th.group { text-align: center; color: inherit; font-weight: 600; }
.apart { padding-left: 2rem; }
.notes { color: var(--soft); font-size: .85rem; padding-left: 1.1rem; max-width: 60rem; }
.pictures { columns: 3 18rem; column-gap: 1rem; }
figure { margin: 0 0 1rem; break-inside: avoid; }
img, video { width: 100%; height: auto; border-radius: 6px; display: block; background: #8882; }
video { max-width: 40rem; }
figcaption { color: var(--soft); font-size: .8rem; margin-top: .3rem; }
pre { background: #8882; border-radius: 6px; padding: .8rem 1rem; overflow-x: auto; }
"""

_NARROW = """\
@media (max-width: 40rem) {
  body { padding: 1.25rem 1rem 3rem; }
  table { font-size: .85rem; }
  th, td { padding: .35rem .5rem; }
  .apart { padding-left: 1.25rem; }
  .chart { max-width: none; width: 36rem; }
}
"""
"""Rules for phones. A chart keeps a size that can be read, and scrolls."""

_CHART_STYLE = """\
.chart { max-width: 100%; height: auto; display: block; }
.chart text { font: 12px system-ui, sans-serif; fill: currentColor; dominant-baseline: central;
  font-variant-numeric: tabular-nums; }
.chart .soft { fill: var(--soft); }
.chart .grid, .chart .rule { stroke: var(--line); stroke-width: 1; }
.chart .zero { stroke: var(--soft); stroke-width: 1; }
.chart .whisker { stroke: currentColor; stroke-width: 1.5; fill: none; }
.chart circle { stroke: var(--back); stroke-width: 1.5; }
.pale { opacity: .4; }
.loss { fill: var(--bad); } .gain { fill: var(--good); }
.s0 { fill: var(--c0); background: var(--c0); } .s1 { fill: var(--c1); background: var(--c1); }
.s2 { fill: var(--c2); background: var(--c2); } .s3 { fill: var(--c3); background: var(--c3); }
.s4 { fill: var(--c4); background: var(--c4); } .s5 { fill: var(--c5); background: var(--c5); }
.s6 { fill: var(--c6); background: var(--c6); }
.legend { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; font-size: .85rem; max-width: none; }
.legend i { display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin-right: .45em; }
"""
"""Rules for the charts of :mod:`edgeblend.report.charts`."""


def document(name: str, content: str, *, style: str = "") -> str:
    """Return a whole page of HTML.

    Args:
        name: of the page, as text.
        content: HTML of the body.
        style: CSS beside what all pages share.
    """
    return f"""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(name)}</title>
<style>
{_STYLE}{_CHART_STYLE}{style}{_NARROW}</style>
</head>
<body>
{content}</body>
</html>
"""


def title(heading: str, facts: Iterable[str] = (), *, lead: str = "") -> str:
    """Return the heading of a page, and what was measured on what.

    Args:
        heading: as text.
        facts: lines of text; the version of edgeblend follows them.
        lead: HTML between the two.
    """
    return f"<h1>{escape(heading)}</h1>\n{lead}{listed('facts', [*facts, f'edgeblend {__version__}'])}"


def meanings(lines: Iterable[str]) -> str:
    """Return the section that says what a page's figures mean."""
    return section("What the figures mean", listed("notes", lines))


def section(heading: str, *content: str) -> str:
    """Return a heading, given as text, with HTML under it."""
    return f"<h2>{escape(heading)}</h2>\n{''.join(content)}"


def listed(kind: str, lines: Iterable[str]) -> str:
    """Return lines of text as a list: ``facts`` or ``notes``."""
    return f'<ul class="{kind}">{"".join(f"<li>{escape(line)}</li>" for line in lines)}</ul>\n'


def table(content: Table | GroupedTable) -> str:
    """Return a table that scrolls where the page is narrow; nothing for one without rows."""
    if not content.rows:
        return ""
    apart: Collection[int] = ()
    groups = ""
    if isinstance(content, GroupedTable):
        apart = {column for column in range(1, len(content.headings)) if column % content.span == 1}
        names = (f'<th class="group" colspan="{content.span}">{escape(name)}</th>' for name in content.groups)
        groups = f"<tr><th></th>{''.join(names)}</tr>\n"
    head = groups + _row(content.headings, "th", apart)
    body = "".join(_row(row, "td", apart) for row in content.rows)
    return f'<div class="scroll"><table><thead>{head}</thead><tbody>\n{body}</tbody></table></div>\n'


def figure(text: str) -> str:
    """Return a figure as text with a minus sign in place of a hyphen."""
    return text.replace("-", "\N{MINUS SIGN}") if _FIGURE.fullmatch(text) else text


def _row(cells: Iterable[str], tag: str, apart: Collection[int]) -> str:
    made = []
    for column, cell in enumerate(cells):
        kinds = ["apart"] if column in apart else []
        kinds += ["status", cell] if cell in _STATUSES else []
        attribute = f' class="{" ".join(kinds)}"' if kinds else ""
        made.append(f"<{tag}{attribute}>{escape(figure(cell))}</{tag}>")
    return f"<tr>{''.join(made)}</tr>\n"
