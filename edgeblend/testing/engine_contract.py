"""What every engine has to do, as tests."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from msgspec import structs
from numpy.typing import NDArray

from edgeblend.bundle import Bundle
from edgeblend.errors import EngineError
from edgeblend.manifest import TensorSpec
from edgeblend.results import Instances
from edgeblend.runtime.backends.base import (
    Array,
    Backend,
    EngineOptions,
    Session,
)
from edgeblend.runtime.backends.processor import usable_cores
from edgeblend.runtime.backends.registry import load_backend
from edgeblend.runtime.preprocess import preprocess
from edgeblend.runtime.segmenter import Segmenter
from edgeblend.runtime.tensors import detector_inputs
from edgeblend.testing.opened import copies, opened
from edgeblend.testing.refusals import Refusals

_PARTS = ("detector", "basis")


class EngineContract(Refusals):
    """Derive a class called ``Test...`` from it, with an engine's name and the two fixtures.

    Bundles need a fixed canvas, and something that they detect in noise or in ``frame``.
    """

    engine: str
    """As the registry knows it."""

    @pytest.fixture
    def float_bundle(self) -> Bundle:
        """Return a bundle in float32 that the engine opens."""
        raise NotImplementedError

    @pytest.fixture
    def int8_bundle(self) -> Bundle:
        """Return a bundle in INT8 that the engine opens."""
        pytest.skip(f"no bundle in INT8 for {self.engine}")

    @pytest.fixture
    def frame(self, float_bundle: Bundle) -> NDArray[np.uint8]:
        """Return a picture, (H, W, 3) uint8."""
        spec = float_bundle.manifest.input
        assert spec.height and spec.width
        return np.random.default_rng(0).integers(0, 256, (spec.height, spec.width, 3), np.uint8)

    @pytest.fixture
    def backend(self) -> Backend:
        """The engine."""
        return load_backend(self.engine)

    @pytest.fixture(params=["float", "int8"])
    def bundle(self, request: pytest.FixtureRequest) -> Bundle:
        """One bundle after the other."""
        return request.getfixturevalue(f"{request.param}_bundle")  # type: ignore[no-any-return]

    @pytest.fixture
    def session(self, backend: Backend, bundle: Bundle) -> Iterator[Session]:
        """The detector, opened."""
        session = opened(backend, bundle)
        yield session
        session.close()

    @pytest.fixture
    def inputs(self, bundle: Bundle, frame: NDArray[np.uint8]) -> dict[str, Array]:
        """What it takes."""
        return detector_inputs(bundle.graph("detector"), preprocess(frame, bundle.manifest.input).canvas)

    # Running

    def test_outputs_are_as_the_manifest_says(
        self, session: Session, bundle: Bundle, inputs: dict[str, Array]
    ) -> None:
        outputs = session.run(inputs)
        specs = {spec.name: spec for spec in bundle.graph("detector").outputs}
        assert set(outputs) == set(specs)
        classes = bundle.manifest.decode.num_classes
        channels = {"cls_logits": classes, "box_reg": 4, "centerness": 1}
        for name, spec in specs.items():
            assert str(outputs[name].dtype) == spec.dtype
            assert outputs[name].ndim == 4 and len(outputs[name]) == 1
            if spec.role in channels:
                assert outputs[name].shape[_channel_axis(spec)] == channels[spec.role]

    def test_the_same_input_gives_the_same_output(self, session: Session, inputs: dict[str, Array]) -> None:
        first = copies(session, inputs)
        for name, output in session.run(inputs).items():
            np.testing.assert_array_equal(output, first[name])

    def test_another_input_gives_another_output(self, session: Session, inputs: dict[str, Array]) -> None:
        first = copies(session, inputs)
        other = session.run({name: np.ascontiguousarray(array[:, ::-1]) for name, array in inputs.items()})
        assert any((other[name] != first[name]).any() for name in first)

    def test_an_input_that_is_not_writable_or_not_contiguous_is_read_right(
        self, session: Session, inputs: dict[str, Array]
    ) -> None:
        expected = copies(session, inputs)
        ((name, array),) = inputs.items()
        frozen = array.copy()
        frozen.flags.writeable = False
        reversed_twice = np.ascontiguousarray(array[:, :, ::-1])[:, :, ::-1]
        assert not reversed_twice.flags.c_contiguous
        for given in (frozen, reversed_twice):
            for key, output in session.run({name: given}).items():
                np.testing.assert_array_equal(output, expected[key])

    def test_inputs_are_left_as_they_were(self, session: Session, inputs: dict[str, Array]) -> None:
        before = {name: array.copy() for name, array in inputs.items()}
        session.run(inputs)
        for name, array in inputs.items():
            np.testing.assert_array_equal(array, before[name])

    # What is said

    def test_info_says_what_runs(self, session: Session, bundle: Bundle) -> None:
        assert session.info.engine and session.info.device and session.info.device_name
        quantized = bundle.graph("detector").precision == "int8"
        assert session.info.precision.startswith("int8" if quantized else "f32")

    def test_it_says_what_its_graph_takes_and_gives(
        self, backend: Backend, bundle: Bundle, inputs: dict[str, Array]
    ) -> None:
        session = opened(backend, bundle)
        given = session.run(inputs)
        for told, arrays in ((session.inputs, inputs), (session.outputs, given)):
            assert told.keys() == arrays.keys()
            for name, array in arrays.items():
                assert told[name].dtype == array.dtype.name
                assert len(told[name].shape) == array.ndim
                assert all(
                    side in (None, real) for side, real in zip(told[name].shape, array.shape, strict=True)
                )
        session.close()

    def test_devices_go_by_any_case(self, backend: Backend, float_bundle: Bundle) -> None:
        one, other = (
            opened(backend, float_bundle, device="CPU"),
            opened(backend, float_bundle, device="cpu"),
        )
        assert one.info == other.info
        for session in (one, other):
            session.close()

    @pytest.mark.parametrize("threads", [1, 2])
    def test_threads_are_as_many_as_asked_for_or_there_are_cores(
        self, threads: int, backend: Backend, float_bundle: Bundle
    ) -> None:
        session = opened(backend, float_bundle, threads=threads)
        assert session.info.threads in (min(threads, usable_cores()), threads, None)
        session.close()

    def test_threads_are_one_per_core_unless_told_otherwise(
        self, backend: Backend, float_bundle: Bundle
    ) -> None:
        session = opened(backend, float_bundle)
        assert session.info.threads in (usable_cores(), None)
        session.close()

    def test_streams_share_the_threads(self, backend: Backend, float_bundle: Bundle) -> None:
        session = opened(backend, float_bundle, threads=2, streams=2)
        assert session.info.threads in (min(2, usable_cores()), 2, None)
        session.close()

    def test_a_graph_that_should_be_in_int8_and_runs_in_float_is_refused(
        self, backend: Backend, float_bundle: Bundle
    ) -> None:
        graph = structs.replace(float_bundle.graph("basis"), precision="int8")
        files = float_bundle.graph_files("basis")
        with pytest.raises(EngineError, match="int8.*'engine'"):
            backend.open_session(graph, files, EngineOptions())
        accepted = backend.open_session(graph, files, EngineOptions(precision="engine"))
        assert "int8" not in accepted.info.precision
        accepted.close()

    def test_engine_info_lists_devices(self, backend: Backend) -> None:
        info = backend.engine_info()
        assert info.version
        assert info.devices
        assert all(device.device and device.precisions for device in info.devices)

    # Closing

    def test_a_closed_session_does_not_run(
        self, backend: Backend, bundle: Bundle, inputs: dict[str, Array]
    ) -> None:
        session = opened(backend, bundle)
        session.run(inputs)
        session.close()
        with pytest.raises(EngineError, match="closed"):
            session.run(inputs)
        session.close()  # once more does no harm

    def test_closing_one_leaves_the_other(
        self, backend: Backend, bundle: Bundle, inputs: dict[str, Array]
    ) -> None:
        one, other = opened(backend, bundle), opened(backend, bundle)
        expected = copies(one, inputs)
        one.close()
        for name, output in other.run(inputs).items():
            np.testing.assert_array_equal(output, expected[name])
        other.close()

    # Forks

    def test_forks_give_the_same_at_the_same_time(
        self, backend: Backend, bundle: Bundle, inputs: dict[str, Array]
    ) -> None:
        session = opened(backend, bundle, streams=2, threads=2)
        expected = copies(session, inputs)
        forks = [session.fork() for _ in range(2)]
        assert all(fork.info == session.info for fork in forks)
        with ThreadPoolExecutor(2) as pool:
            for found in pool.map(lambda fork: [copies(fork, inputs) for _ in range(3)], forks):
                for outputs in found:
                    for name, output in outputs.items():
                        np.testing.assert_array_equal(output, expected[name])
        for fork in forks:
            fork.close()
        session.close()

    def test_a_fork_is_closed_on_its_own(
        self, backend: Backend, float_bundle: Bundle, frame: NDArray[np.uint8]
    ) -> None:
        session = opened(backend, float_bundle)
        canvas = preprocess(frame, float_bundle.manifest.input).canvas
        inputs = detector_inputs(float_bundle.graph("detector"), canvas)
        fork, other = session.fork(), session.fork()
        fork.close()
        with pytest.raises(EngineError, match="closed"):
            fork.run(inputs)
        expected = copies(session, inputs)
        session.close()
        with pytest.raises(EngineError, match="closed"):
            session.fork()
        for name, output in other.run(inputs).items():
            np.testing.assert_array_equal(output, expected[name])
        other.close()

    def test_a_stream_gives_what_single_frames_give(self, bundle: Bundle, frame: NDArray[np.uint8]) -> None:
        frames = [frame, np.ascontiguousarray(frame[::-1])] * 3
        with Segmenter.load(bundle, backend=self.engine, threads=2, streams=2) as segmenter:
            expected = [_arrays(segmenter(picture)) for picture in frames[:2]] * 3
            found = [_arrays(instances) for instances in segmenter.stream(frames)]
        for wanted, arrays in zip(expected, found, strict=True):
            for array, before in zip(arrays, wanted, strict=True):
                np.testing.assert_array_equal(array, before)

    # A segmenter over it

    def test_results_are_the_callers_own(self, bundle: Bundle, frame: NDArray[np.uint8]) -> None:
        with Segmenter.load(bundle, backend=self.engine) as segmenter:
            first = segmenter(frame)
            kept = _arrays(first)
            segmenter(np.ascontiguousarray(frame[::-1]))
            for array, before in zip(_arrays(first), kept, strict=True):
                np.testing.assert_array_equal(array, before)
            again = segmenter(frame)
        assert len(first) > 0
        for array, before in zip(_arrays(again), kept, strict=True):
            np.testing.assert_array_equal(array, before)

    def test_two_segmenters_in_two_threads(self, bundle: Bundle, frame: NDArray[np.uint8]) -> None:
        frames = [frame, np.ascontiguousarray(frame[::-1])]
        with (
            Segmenter.load(bundle, backend=self.engine, threads=1) as one,
            Segmenter.load(bundle, backend=self.engine, threads=1) as other,
        ):
            expected = [_arrays(one(picture)) for picture in frames]
            begin = threading.Barrier(2)

            def work(segmenter: Segmenter, number: int) -> list[list[Array]]:
                begin.wait()
                return [_arrays(segmenter(frames[number])) for _ in range(4)]

            with ThreadPoolExecutor(2) as pool:
                found = list(pool.map(work, (one, other), (0, 1)))
        for wanted, results in zip(expected, found, strict=True):
            for arrays in results:
                for array, before in zip(arrays, wanted, strict=True):
                    np.testing.assert_array_equal(array, before)

    def test_one_segmenter_in_several_threads(self, bundle: Bundle, frame: NDArray[np.uint8]) -> None:
        frames = [frame, np.ascontiguousarray(frame[::-1])] * 3
        with Segmenter.load(bundle, backend=self.engine, threads=1) as segmenter:
            expected = [_arrays(segmenter(picture)) for picture in frames[:2]] * 3
            with ThreadPoolExecutor(3) as pool:
                found = list(pool.map(segmenter, frames))
        for wanted, instances in zip(expected, found, strict=True):
            for array, before in zip(_arrays(instances), wanted, strict=True):
                np.testing.assert_array_equal(array, before)

    def test_info_of_a_segmenter_names_the_engine(self, bundle: Bundle) -> None:
        with Segmenter.load(bundle, backend=self.engine, threads=1) as segmenter:
            info = segmenter.info
        assert info.target == bundle.manifest.target
        assert set(info.parts) == set(_PARTS)
        assert len({part.engine for part in info.parts.values()}) == 1


def _arrays(instances: Instances) -> list[Array]:
    arrays = (instances.boxes, instances.scores, instances.classes, instances.mask_probs)
    return [array.copy() for array in arrays]


def _channel_axis(spec: TensorSpec) -> int:
    return 1 if spec.layout == "NCHW" else 3
