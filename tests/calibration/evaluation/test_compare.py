"""Whole comparisons of bundles of a tiny model, whose own findings are the labels."""

import json
import math
import shutil
from pathlib import Path
from types import MappingProxyType

import cv2
import numpy as np
import pytest
from bundle_factory import rehash

import edgeblend
from edgeblend.calibration.evaluation import compare as module
from edgeblend.calibration.evaluation.accuracy import Accuracy, AveragePrecision
from edgeblend.calibration.evaluation.agreement_totals import AgreementTotals
from edgeblend.calibration.evaluation.compare import compare
from edgeblend.calibration.evaluation.compare_inputs import spread
from edgeblend.calibration.evaluation.compare_report import ap_change, judged_drop
from edgeblend.calibration.measuring.setups import RunOptions, Setup
from edgeblend.errors import BundleError, EngineError, InputError
from edgeblend.runtime.segmenter import Segmenter

pytest.importorskip("openvino")


@pytest.fixture(scope="module")
def report(tiny_bundle, worse_bundle, labelled_pictures, tmp_path_factory):
    """The model, a copy of it, one with noise, and one that no engine opens."""
    folder = tmp_path_factory.mktemp("candidates")
    copy = shutil.copytree(tiny_bundle.folder, folder / "copy")
    broken = edited(tiny_bundle, folder / "broken", "basis.xml", lambda content: b"no graph")
    return compare(
        tiny_bundle,
        [copy, broken, worse_bundle],
        labelled_pictures / "pictures",
        annotations=labelled_pictures / "labels.json",
        disagreements=2,
    )


def edited(bundle, out, name, edit):
    """A copy of a bundle with the content of one file changed, and the manifest's hashes with it."""
    shutil.copytree(bundle.folder, out)
    (out / name).write_bytes(edit((out / name).read_bytes()))
    rehash(out, name)
    return out


def with_classes(bundle, out, names):
    """A copy of a bundle with other class names."""
    shutil.copytree(bundle.folder, out)
    manifest = json.loads((out / "manifest.json").read_text())
    (out / "manifest.json").write_text(json.dumps({**manifest, "things": names}))
    return out


@pytest.fixture
def no_memory(monkeypatch):
    """Without the processes that memory is measured in, which take a second or two each."""
    monkeypatch.setattr(module, "measure_peak_memory", lambda bundle, pictures, **options: None)


# What it finds out


def test_what_is_identical_differs_in_nothing(report):
    copy = report.candidates[0]
    assert (copy.name, copy.status, copy.drop, copy.reason) == ("copy", "OK", 0, None)
    agreement = copy.agreement
    assert (agreement.agreement, agreement.mask_iou) == (100, 1)
    assert (agreement.lost, agreement.invented, agreement.class_flips) == (0, 0, 0)
    assert (agreement.score_drift, agreement.score_distance) == (0, 0)
    assert agreement.matched > 0
    assert {output.db for output in copy.sqnr} == {math.inf}
    assert copy.disagreements == ()
    # Compared as text: a breakdown without objects is nan, which is not equal to itself.
    assert repr(copy.figures.accuracy) == repr(report.reference.figures.accuracy)


def test_noise_on_the_weights_is_a_drop(report):
    worse = report.candidates[2]
    assert (worse.name, worse.status) == ("worse", "DROP")
    before, after = report.reference.figures.accuracy, worse.figures.accuracy
    assert worse.drop == max(before.box.ap - after.box.ap, before.mask.ap - after.mask.ap) > 5
    assert after.boundary.ap < before.boundary.ap
    assert worse.agreement.agreement < 90
    assert all(-20 < output.db < 40 for output in worse.sqnr)


def test_one_that_no_engine_opens_has_failed_and_the_others_went_on(report):
    broken = report.candidates[1]
    assert (broken.name, broken.status, broken.drop, broken.figures) == ("broken", "FAILED", None, None)
    assert "cannot compile basis.xml" in broken.reason and "\n" not in broken.reason
    assert [item.status for item in report.candidates] == ["OK", "FAILED", "DROP"]
    assert not report.ok


def test_the_reference_finds_its_own_labels(report):
    accuracy = report.reference.figures.accuracy
    assert accuracy.box.ap > 95 and accuracy.mask.ap > 95 and accuracy.boundary.ap > 95
    assert report.num_images == 5
    assert report.num_objects == accuracy.num_objects > 15
    assert (report.max_drop, report.sqnr_frames) == (0.5, 5)


def test_figures_of_each(report, tiny_bundle):
    for item in (report.reference, report.candidates[0], report.candidates[2]):
        figures = item.figures
        assert figures.bytes == sum(file.size for file in tiny_bundle.manifest.files)  # noise takes no room
        assert figures.speed.frames == 4
        assert 0 < figures.speed.graphs_ms <= figures.speed.frame_ms <= figures.speed.frame_p90_ms
        assert figures.peak_memory is None or figures.peak_memory > 30e6  # more than an empty interpreter
        assert figures.weights == {"detector": "fp32", "basis": "fp32"}
        assert {session.precision for session in figures.sessions.values()} == {"f32"}


def test_every_output_of_the_graphs_is_compared(report, tiny_bundle):
    graphs = tiny_bundle.manifest.graphs
    expected = [(part, spec.role, spec.level) for part in graphs for spec in graphs[part].outputs]
    assert [(output.graph, output.role, output.level) for output in report.candidates[2].sqnr] == expected


def test_the_worst_pictures_come_with_both_sides(report):
    kept = report.candidates[2].disagreements
    assert len(kept) == 2
    assert kept[0].frame.disagreement >= kept[1].frame.disagreement > 0
    assert kept[0].reference.frame_size == (kept[0].image.height, kept[0].image.width)


@pytest.mark.usefixtures("no_memory")
def test_without_labels_agreement_is_judged(tiny_bundle, worse_bundle, labelled_pictures):
    pictures = labelled_pictures / "pictures"
    report = compare(tiny_bundle, [tiny_bundle, worse_bundle], pictures, disagreements=0)
    same, worse = report.candidates
    assert (same.status, same.drop) == ("OK", 0)
    assert (worse.status, worse.drop) == ("DROP", 100 - worse.agreement.agreement)
    assert report.max_drop == 5
    assert report.reference.figures.accuracy is worse.figures.accuracy is report.num_objects is None
    assert same.name == f"{report.reference.name} (2)"
    allowed = compare(tiny_bundle, [worse_bundle], pictures, max_drop=100, limit=1)
    assert allowed.ok
    assert (allowed.num_images, allowed.max_drop) == (1, 100)


@pytest.mark.usefixtures("no_memory")
def test_a_candidate_that_fails_on_a_picture(tiny_bundle, worse_bundle, labelled_pictures, monkeypatch):
    usual = Segmenter.__call__

    def failing(self, frame, **options):
        if self.info.bundle == str(worse_bundle.path):
            raise EngineError("out of memory")
        return usual(self, frame, **options)

    monkeypatch.setattr(Segmenter, "__call__", failing)
    report = compare(tiny_bundle, [worse_bundle, tiny_bundle], labelled_pictures / "pictures")
    assert [item.status for item in report.candidates] == ["FAILED", "OK"]
    assert report.candidates[0].reason == "out of memory"


def test_a_candidate_whose_process_dies(tiny_bundle, worse_bundle, labelled_pictures, monkeypatch):
    def dies(bundle, pictures, **options):
        if bundle == worse_bundle.path:
            raise EngineError("running it ends the process with SIGSEGV")

    monkeypatch.setattr(module, "measure_peak_memory", dies)
    report = compare(tiny_bundle, [worse_bundle], labelled_pictures / "pictures", limit=1)
    assert report.candidates[0].reason == "running it ends the process with SIGSEGV"
    assert report.reference.figures.peak_memory is None


@pytest.mark.parametrize("count", [-1, 1.5, "6", None, True])
def test_disagreements_to_keep_are_a_whole_number(count, tmp_path):
    with pytest.raises(InputError, match="disagreements"):
        compare(tmp_path, [tmp_path], tmp_path, disagreements=count)


@pytest.mark.usefixtures("no_memory")
def test_a_zip_is_a_bundle_like_any_other(tiny_bundle, labelled_pictures, tmp_path):
    archive = Path(shutil.make_archive(str(tmp_path / "tiny"), "zip", tiny_bundle.folder))
    report = compare(tiny_bundle, [archive], labelled_pictures / "pictures", limit=1)
    assert (report.candidates[0].name, report.candidates[0].status) == ("tiny.zip", "OK")


@pytest.mark.usefixtures("no_memory")
def test_setups_of_one_bundle_have_options_of_their_own(tiny_bundle, labelled_pictures):
    setups = [Setup(tiny_bundle, threads=1), Setup(tiny_bundle, backend="onnxruntime", name="elsewhere")]
    report = compare(tiny_bundle, setups, labelled_pictures / "pictures", threads=2, limit=1)
    alone, elsewhere = report.candidates
    name = report.reference.name
    assert (alone.name, alone.status) == (f"{name}@threads=1", "OK")
    assert report.reference.options == RunOptions(threads=2)
    assert (alone.options, elsewhere.options) == (
        RunOptions(threads=1),
        RunOptions(backend="onnxruntime", threads=2),
    )
    assert report.reference.figures.sessions["detector"].threads == 2
    assert alone.figures.sessions["detector"].threads == 1
    assert (elsewhere.name, elsewhere.status) == ("elsewhere", "FAILED")
    assert "not for 'onnxruntime'" in elsewhere.reason


def test_memory_is_measured_with_the_options_of_each(tiny_bundle, labelled_pictures, monkeypatch):
    asked = []
    monkeypatch.setattr(
        module, "measure_peak_memory", lambda bundle, pictures, **options: asked.append(options)
    )
    setup = Setup(tiny_bundle, threads=1, properties={"PERFORMANCE_HINT": "LATENCY"})
    compare(tiny_bundle, [setup], labelled_pictures / "pictures", limit=1)
    assert asked == [
        {"backend": None, "device": "CPU", "precision": "f32", "threads": None, "properties": {}},
        {
            **{"backend": None, "device": "CPU", "precision": "f32", "threads": 1},
            "properties": {"PERFORMANCE_HINT": "LATENCY"},
        },
    ]


@pytest.mark.usefixtures("no_memory")
def test_what_runs_beside_is_measured_and_not_judged(tiny_bundle, worse_bundle, labelled_pictures):
    with Segmenter.load(worse_bundle) as worse:
        report = compare(
            tiny_bundle,
            [tiny_bundle],
            labelled_pictures / "pictures",
            annotations=labelled_pictures / "labels.json",
            beside={"noisy": worse},
        )
        assert len(worse(np.zeros((40, 60, 3), np.uint8))) >= 0  # it is still open
    (noisy,) = report.beside
    assert report.ok
    assert noisy.name == "noisy"
    assert noisy.accuracy.box.ap < report.reference.figures.accuracy.box.ap - 5
    assert noisy.agreement.agreement < 90
    assert noisy.speed.frames == 4
    assert noisy.sessions == worse.info.parts


@pytest.mark.usefixtures("no_memory")
def test_what_runs_beside_and_fails_is_an_error(tiny_bundle, labelled_pictures):
    with Segmenter.load(tiny_bundle) as closed:
        pass
    with pytest.raises(EngineError, match="mine: cannot be run: .*closed"):
        compare(tiny_bundle, [tiny_bundle], labelled_pictures / "pictures", beside={"mine": closed}, limit=1)


# What it refuses before the work starts


@pytest.fixture
def no_work(monkeypatch):
    def measure(*args, **options):
        raise AssertionError("the work has started")

    monkeypatch.setattr(module, "measure_side_by_side", measure)
    monkeypatch.setattr(module, "measure_peak_memory", measure)


@pytest.mark.usefixtures("no_work")
class TestRefusals:
    def test_a_reference_that_is_not_whole(self, tiny_bundle, labelled_pictures, tmp_path):
        broken = shutil.copytree(tiny_bundle.folder, tmp_path / "broken")
        (broken / "basis.bin").write_bytes(b"")
        with pytest.raises(BundleError, match="basis.bin"):
            compare(broken, [tiny_bundle], labelled_pictures / "pictures")

    def test_a_candidate_that_is_not_there(self, tiny_bundle, labelled_pictures):
        with pytest.raises(BundleError, match="nowhere: no such bundle"):
            compare(tiny_bundle, ["nowhere"], labelled_pictures / "pictures")

    def test_no_candidates(self, tiny_bundle, labelled_pictures):
        with pytest.raises(InputError, match="candidates: expected at least one"):
            compare(tiny_bundle, [], labelled_pictures / "pictures")

    @pytest.mark.parametrize(
        ("names", "words"),
        [
            (["cup", "fork", "table"], "it lacks 'spoon' and adds 'fork'"),
            (["spoon", "cup", "table"], "in another order"),
        ],
    )
    def test_other_classes(self, names, words, tiny_bundle, labelled_pictures, tmp_path):
        other = with_classes(tiny_bundle, tmp_path / "other", names)
        with pytest.raises(InputError, match=words):
            compare(tiny_bundle, [other], labelled_pictures / "pictures")

    def test_names_of_what_runs_beside(self, tiny_bundle, worse_bundle, labelled_pictures, tmp_path):
        other = with_classes(tiny_bundle, tmp_path / "other", ["spoon", "cup", "table"])
        with Segmenter.load(tiny_bundle) as same, Segmenter.load(other) as different:
            for beside, words in (
                ({tiny_bundle.path.name: same}, "that no bundle is called by"),
                ({"": same}, "that no bundle is called by"),
                ({"mine": "no segmenter"}, "beside: mine: got 'no segmenter'"),
                ({"mine": different}, "beside: mine: got other classes"),
            ):
                with pytest.raises(InputError, match=words):
                    compare(tiny_bundle, [worse_bundle], labelled_pictures / "pictures", beside=beside)

    def test_an_empty_folder(self, tiny_bundle, tmp_path):
        with pytest.raises(InputError, match="no pictures found"):
            compare(tiny_bundle, [tiny_bundle], tmp_path)

    def test_pictures_that_are_none(self, tiny_bundle, tmp_path):
        (tmp_path / "a.jpg").write_bytes(b"no picture")
        with pytest.raises(InputError, match="none of the 1 pictures can be read: .*a.jpg"):
            compare(tiny_bundle, [tiny_bundle], tmp_path)

    @pytest.mark.parametrize("max_drop", [-1, math.nan, math.inf])
    def test_a_drop_that_is_none(self, max_drop, tiny_bundle, labelled_pictures):
        with pytest.raises(InputError, match="max_drop(: got (nan|inf)| must be at least 0)"):
            compare(tiny_bundle, [tiny_bundle], labelled_pictures / "pictures", max_drop=max_drop)

    def test_no_pictures_to_measure_on(self, tiny_bundle, labelled_pictures):
        with pytest.raises(InputError, match="limit must be at least 1, got 0"):
            compare(tiny_bundle, [tiny_bundle], labelled_pictures / "pictures", limit=0)

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (lambda document: document["categories"][0].update(name="fork"), "only classes that the model"),
            (lambda document: document["images"][0].update(file_name="9.png"), "1 of 5 pictures are not in"),
            (lambda document: document["images"][0].update(width=10), "pixels as annotated"),
            (lambda document: document.update(annotations=[]), "expected objects on the 5 pictures"),
        ],
    )
    def test_annotations_that_do_not_fit(self, change, words, tiny_bundle, labelled_pictures, tmp_path):
        document = json.loads((labelled_pictures / "labels.json").read_text())
        change(document)
        if "annotations as" in words or document["images"][0]["width"] == 10:
            document["annotations"] = [a for a in document["annotations"] if a["image_id"] != 1]
        (tmp_path / "labels.json").write_text(json.dumps(document))
        with pytest.raises(InputError, match=words):
            compare(
                tiny_bundle,
                [tiny_bundle],
                labelled_pictures / "pictures",
                annotations=tmp_path / "labels.json",
            )


def test_a_device_that_is_not_there_is_an_error_of_the_reference(tiny_bundle, labelled_pictures):
    with pytest.raises(EngineError, match="device GPU.7 is not there"):
        compare(tiny_bundle, [tiny_bundle], labelled_pictures / "pictures", device="GPU.7", limit=1)


@pytest.mark.usefixtures("no_memory")
def test_pictures_that_cannot_be_read_are_left_out_and_noted(tiny_bundle, labelled_pictures, tmp_path):
    shutil.copy(labelled_pictures / "pictures" / "1.png", tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no picture")
    cv2.imwrite(str(tmp_path / "c.png"), np.zeros((40, 60, 3), np.uint8))
    (tmp_path / "d.heic").touch()
    report = compare(tiny_bundle, [tiny_bundle], tmp_path)
    assert (report.num_images, report.ok) == (2, True)
    passed_over, left_out = report.notes
    assert passed_over.endswith("passed over: 1 .heic")
    assert "1 of 3 pictures left out" in left_out and "b.png" in left_out


# Its parts


def test_the_public_name():
    assert edgeblend.compare is compare


@pytest.mark.parametrize(
    ("count", "chosen"),
    [(None, "abcdefg"), (9, "abcdefg"), (7, "abcdefg"), (3, "adg"), (2, "ag"), (1, "a")],
)
def test_spread_evenly(count, chosen):
    assert "".join(spread("abcdefg", count)) == chosen


def accuracy(box, mask):
    def part(ap):
        return AveragePrecision(ap, ap, ap, ap, ap, ap, MappingProxyType({"cat": ap}))

    return Accuracy(part(box), part(mask), 1, 1, part(0.0))


@pytest.mark.parametrize(
    ("box", "mask", "drop"),
    [(60, 50, 0), (59, 50, 1), (60, 48, 2), (59, 48, 2), (61, 51, 0), (61, 49.5, 0.5)],
)
def test_the_larger_drop_counts_and_gains_do_not(box, mask, drop):
    assert judged_drop(accuracy(60, 50), accuracy(box, mask), AgreementTotals(lost=5)) == drop


def test_without_accuracy_the_drop_is_what_agreement_lacks():
    totals = AgreementTotals(matched=3, lost=1, invented=1, mask_iou_sum=3.0)
    assert judged_drop(None, None, totals) == 25


@pytest.mark.parametrize("place", [0, 1])
def test_a_drop_that_was_not_measured_is_no_drop_of_zero(place):
    parts = [accuracy(60, 50), accuracy(60, 50)]
    parts[place] = accuracy(math.nan, 50)
    with pytest.raises(InputError, match="got nan"):
        judged_drop(*parts, AgreementTotals())


def test_changes_have_their_sign():
    assert ap_change(accuracy(60, 50), accuracy(61, 48), "box") == 1
    assert ap_change(accuracy(60, 50), accuracy(61, 48), "mask") == -2
    assert math.isnan(ap_change(None, accuracy(61, 48), "mask"))
