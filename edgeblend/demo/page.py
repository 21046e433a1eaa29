"""The demo's results as one web page without anything from elsewhere."""

from __future__ import annotations

from html import escape
from pathlib import Path

from edgeblend.demo.pictures import SHOWN_SCORE, Overlay
from edgeblend.demo.report import COMPARISON, COMPARISON_PAGE, DemoReport, explanations
from edgeblend.demo.text import main_tables, next_commands
from edgeblend.draw.video import Video
from edgeblend.report.html import document, listed, table

_INTRODUCTION = """\
A BlendMask checkpoint was converted into a bundle and quantized to INT8. Both bundles were compared with
torch. The INT8 bundle then ran on pictures and a video."""
_SHIPPED = """
The network is small. It was trained on drawn objects over photographs; here it sees such objects over
photographs that training did not have."""


def page(report: DemoReport, folder: Path, out: Path) -> str:
    """Return the page as HTML.

    Args:
        report: what was made and measured.
        folder: what its links are relative to.
        out: where the folder will lie, for the commands on the page.
    """
    commands = next_commands(report, out)
    content = f"""\
<h1>edgeblend demo</h1>
<p>{_INTRODUCTION}{_SHIPPED if report.shipped else ""}</p>
<h2>What the conversion keeps, and what it gains</h2>
{_comparison(report)}
<h2>Video</h2>
{_video(report.video, folder)}
<h2>Pictures</h2>
<p>The INT8 bundle found these objects. Everything that scores at least {SHOWN_SCORE:g} is drawn. The
pictures are spread evenly over the validation set and were not chosen by their result.</p>
<div class="pictures">
{"".join(_figure(overlay, folder) for overlay in report.overlays)}</div>
<h2>Next</h2>
{"".join(f"<p>{escape(what)}</p><pre>{escape(command)}</pre>" for what, command in commands)}
"""
    return document("edgeblend demo", content)


def _comparison(report: DemoReport) -> str:
    return (
        f"{''.join(map(table, main_tables(report)))}{listed('notes', explanations(report))}"
        f'<p><a href="{COMPARISON_PAGE}">The comparison</a> says what every figure means, and shows the '
        "charts, the classes, the noise, and the pictures where INT8 disagrees most. All of its figures: "
        f'<a href="{COMPARISON}">{COMPARISON}</a></p>'
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
