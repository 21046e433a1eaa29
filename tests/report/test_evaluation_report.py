"""``evaluate``'s report as tables and as JSON, from figures made by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path

from edgeblend.calibration.evaluation.accuracy import Accuracy, AveragePrecision
from edgeblend.calibration.evaluation.evaluate import EvaluationReport
from edgeblend.calibration.measuring.machine import Machine
from edgeblend.calibration.measuring.turns import Speed
from edgeblend.report.evaluation import as_document, class_table, explanations, facts, terminal_lines
from edgeblend.runtime.backends.base import SessionInfo
from edgeblend.terminal.printing import json_text


def precision(ap: float, **per_class: float) -> AveragePrecision:
    return AveragePrecision(ap, ap + 1, ap + 2, math.nan, ap + 4, ap + 5, per_class, ap + 6)


def report(*, boundary: AveragePrecision | None = None) -> EvaluationReport:
    session = SessionInfo("abacus 1", "CPU", "A processor", "f32", 2)
    box = precision(40.0, cat=50.0, dog=30.0, cow=math.nan)
    mask = precision(20.0, cat=0.0, dog=40.0, cow=math.nan)
    return EvaluationReport(
        bundle=Path("r50"),
        accuracy=Accuracy(box, mask, 7, 1, boundary),
        speed=Speed(10.0, 8.0, 20.0, 9.0, 6),
        sessions={"detector": session, "basis": session},
        machine=Machine("A processor", 2, "Linux", "3.11"),
        images="val",
        annotations="val.json",
        notes=("3 of 10 pictures without objects",),
    )


def test_the_lines_for_a_terminal():
    assert facts(report()) == [
        "bundle: r50",
        "images: 7 images of val, 1 labelled object",
        "note: 3 of 10 pictures without objects",
        "machine: A processor, 2 cores, Linux",
        "engine: abacus 1 on CPU in f32, 2 threads",
    ]
    assert terminal_lines(report()) == [
        "         AP   AP50   AP75  small  medium  large     AR",
        "box   40.00  41.00  42.00      -   44.00  45.00  46.00",
        "mask  20.00  21.00  22.00      -   24.00  25.00  26.00",
        "",
        "class  box AP  mask AP",
        "cat     50.00     0.00",
        "dog     30.00    40.00",
        "",
        "               ms    p90  per second",
        "frame       10.00  20.00       100.0",
        "its graphs   8.00   9.00       125.0",
    ]


def test_boundary_ap_where_it_was_measured():
    with_boundary = report(boundary=precision(10.0, cat=10.0, dog=10.0, cow=math.nan))
    assert class_table(with_boundary).headings == ("class", "box AP", "mask AP", "boundary AP")
    assert class_table(with_boundary).rows[0] == ("cat", "50.00", "0.00", "10.00")
    assert any("Boundary AP" in line for line in explanations(with_boundary))
    assert not any("Boundary AP" in line for line in explanations(report()))


def test_the_document_is_json_without_what_json_has_not():
    document = json.loads(json_text(as_document(report())))
    assert document["accuracy"]["mask"]["per_class"] == {"cat": 0.0, "dog": 40.0, "cow": None}
    assert document["accuracy"]["mask"]["ap_small"] is None
    assert document["accuracy"]["boundary"] is None
    assert (document["bundle"], document["images"]["annotations"]) == ("r50", "val.json")
    assert document["speed"]["graphs_per_second"] == 125
