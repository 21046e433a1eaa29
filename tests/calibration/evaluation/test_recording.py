import numpy as np
import pytest

from edgeblend.calibration.evaluation.recording import run_graphs
from edgeblend.runtime.segmenter import Segmenter
from edgeblend.runtime.sessions import open_sessions

pytest.importorskip("openvino")


@pytest.fixture(scope="module")
def sessions(tiny_bundle):
    return open_sessions(tiny_bundle)


class Spy:
    """A session that keeps a copy of its last outputs."""

    def __init__(self, session):
        self.session, self.info, self.close, self.fork = session, session.info, session.close, session.fork

    def run(self, inputs):
        self.outputs = {name: np.array(value) for name, value in self.session.run(inputs).items()}
        return self.outputs


def test_every_output_by_role_and_level(tiny_bundle, sessions, photograph):
    outputs = run_graphs(sessions, tiny_bundle.manifest, photograph)
    graphs = tiny_bundle.manifest.graphs
    assert list(outputs) == [
        (part, spec.role, spec.level) for part in graphs for spec in graphs[part].outputs
    ]
    assert all(value.ndim == 3 for value in outputs.values())
    assert outputs["detector", "cls_logits", "p3"].shape[0] == 3  # classes
    assert outputs["basis", "bases", None].shape[0] == 4


def test_the_bases_are_those_of_the_segmenter(tiny_bundle, sessions, photograph):
    spies = {part: Spy(session) for part, session in sessions.items()}
    assert len(Segmenter.from_sessions(tiny_bundle, spies)(photograph)) > 0
    outputs = run_graphs(sessions, tiny_bundle.manifest, photograph)
    np.testing.assert_array_equal(outputs["basis", "bases", None], spies["basis"].outputs["bases"][0])


def test_the_bases_are_there_where_nothing_is_detected(tiny_bundle, sessions):
    grey = np.full((64, 64, 3), 100, np.uint8)
    with Segmenter.load(tiny_bundle, score_threshold=0.999) as segmenter:
        assert len(segmenter(grey)) == 0
    assert np.isfinite(run_graphs(sessions, tiny_bundle.manifest, grey)["basis", "bases", None]).all()


def test_outputs_are_copies(tiny_bundle, sessions, photograph):
    first = run_graphs(sessions, tiny_bundle.manifest, photograph)
    before = {key: value.copy() for key, value in first.items()}
    run_graphs(sessions, tiny_bundle.manifest, photograph[:, ::-1])
    for key, value in before.items():
        np.testing.assert_array_equal(first[key], value)
