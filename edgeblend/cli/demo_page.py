"""The demo's results as one web page without anything from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from pathlib import Path

from edgeblend.cli.annotated_video import Video
from edgeblend.cli.demo_pictures import SHOWN_SCORE, Overlay
from edgeblend.cli.demo_report import HEADINGS, DemoReport, explanations, table

_STYLE = """\
:root { color-scheme: light dark; --line: #8884; --soft: #888; --accent: #2f7ed8; }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.9rem; margin: 0; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .75rem; }
p { max-width: 48rem; margin: .5rem 0; }
a { color: var(--accent); }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .45rem .9rem; text-align: right; white-space: nowrap; }
th, td { border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; padding-left: 0; font-weight: 600; }
th { color: var(--soft); font-weight: 500; }
.scroll { overflow-x: auto; }
.notes { color: var(--soft); font-size: .85rem; padding-left: 1.1rem; max-width: 60rem; }
.pictures { columns: 3 18rem; column-gap: 1rem; }
figure { margin: 0 0 1rem; break-inside: avoid; }
img, video { width: 100%; height: auto; border-radius: 6px; display: block; background: #8882; }
video { max-width: 40rem; }
figcaption { color: var(--soft); font-size: .8rem; margin-top: .3rem; }
pre { background: #8882; border-radius: 6px; padding: .8rem 1rem; overflow-x: auto; }
"""

_INTRODUCTION = """\
A BlendMask checkpoint was converted into a bundle, compared with torch, and run on pictures and a video."""
_SHIPPED = """
The network is a small one, trained on drawn objects over photographs; here it sees such objects on
photographs that training did not have."""


def page(report: DemoReport, folder: Path, commands: Iterable[tuple[str, str]]) -> str:
    """Return the page as HTML.

    Args:
        report: what was made and measured.
        folder: what its links are relative to.
        commands: what to try next and the command for it.
    """
    name = escape(f"{report.measured[-1].candidate.name} {report.measured[-1].candidate.precision}")
    return f"""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>edgeblend demo</title>
<style>
{_STYLE}</style>
</head>
<body>
<h1>edgeblend demo</h1>
<p>{_INTRODUCTION}{_SHIPPED if report.shipped else ""}</p>
<h2>What the conversion keeps, and what it gains</h2>
{_table(report)}
<h2>Video</h2>
{_video(report.video, folder)}
<h2>Pictures</h2>
<p>Drawn by {name}: everything with a score of at least {SHOWN_SCORE:g}. The pictures are spread evenly over
the validation set and were not chosen by their result.</p>
<div class="pictures">
{"".join(_figure(overlay, folder) for overlay in report.overlays)}</div>
<h2>Next</h2>
{"".join(f"<p>{escape(what)}</p><pre>{escape(command)}</pre>" for what, command in commands)}
</body>
</html>
"""


def _table(report: DemoReport) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in HEADINGS)
    rows = "".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>\n" for row in table(report.measured)
    )
    notes = "".join(f"<li>{escape(note)}</li>" for note in explanations(report))
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>\n{rows}</tbody></table></div>\n'
        f'<ul class="notes">{notes}</ul>\n'
        '<p>All figures, also by class and by object size: <a href="comparison.json">comparison.json</a></p>'
    )


def _video(video: Video, folder: Path) -> str:
    link = escape(video.path.relative_to(folder).as_posix())
    shown = (
        f'<video src="{link}" autoplay loop muted playsinline controls></video>\n'
        if video.codec.in_browsers
        else ""
    )
    seconds = video.frames / video.rate
    return (
        f'{shown}<p><a href="{link}">{link}</a>: {seconds:.0f} seconds, {escape(video.codec.name)}. '
        "Colours follow objects from frame to frame by the overlap of their boxes.</p>"
    )


def _figure(overlay: Overlay, folder: Path) -> str:
    link = escape(overlay.file.relative_to(folder).as_posix())
    found = ", ".join(f"{name} {score:.2f}" for name, score in overlay.found) or "nothing detected"
    width, height = overlay.size
    return (
        f'<figure><a href="{link}"><img src="{link}" alt="{escape(found)}" width="{width}" height="{height}" '
        f'loading="lazy"></a><figcaption>{escape(overlay.source)}: {escape(found)}</figcaption></figure>\n'
    )
