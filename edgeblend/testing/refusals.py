"""What every engine has to refuse, and how, as tests."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec import structs

from edgeblend.bundle import Bundle
from edgeblend.errors import BundleError, EngineError, InputError
from edgeblend.runtime.backends.base import Array, Backend, EngineOptions, Precision, Session
from edgeblend.runtime.segmenter import Segmenter
from edgeblend.testing.opened import copies, opened
from edgeblend.testing.other_graphs import OTHER_GRAPHS

_WITHOUT_HOME = """
import os, sys
if os.name == "posix":
    import pwd
    def nobody(user):
        raise KeyError(f"getpwuid(): uid not found: {user}")
    pwd.getpwuid = nobody
import numpy as np
from edgeblend.runtime import Segmenter
with Segmenter.load(sys.argv[1], backend=sys.argv[2]) as segmenter:
    segmenter(np.zeros((64, 64, 3), np.uint8))
"""
"""A frame in a process of a user that the system has no account of."""


class Refusals:
    """Half of :class:`~edgeblend.testing.EngineContract`, which has the fixtures."""

    engine: str
    """As the registry knows it."""

    def test_a_wrong_shape_is_an_engine_error(self, session: Session, inputs: dict[str, Array]) -> None:
        wrong = {name: np.zeros((1, 8, 8, 3), array.dtype) for name, array in inputs.items()}
        with pytest.raises(EngineError):
            session.run(wrong)

    def test_a_wrong_type_is_an_engine_error(self, session: Session, inputs: dict[str, Array]) -> None:
        with pytest.raises(EngineError):
            session.run({name: array.astype(np.float64) for name, array in inputs.items()})

    def test_a_wrong_name_is_an_engine_error(self, session: Session, inputs: dict[str, Array]) -> None:
        with pytest.raises(EngineError):
            session.run({f"{name}_other": array for name, array in inputs.items()})

    def test_a_session_runs_on_after_an_error(self, session: Session, inputs: dict[str, Array]) -> None:
        expected = copies(session, inputs)
        with pytest.raises(EngineError):
            session.run({})
        for name, output in session.run(inputs).items():
            np.testing.assert_array_equal(output, expected[name])

    def test_a_graph_of_another_format_is_refused(self, backend: Backend, float_bundle: Bundle) -> None:
        graph = structs.replace(float_bundle.graph("basis"), format="abacus")
        with pytest.raises(EngineError, match="abacus"):
            backend.open_session(graph, float_bundle.graph_files("basis"), EngineOptions())

    def test_a_broken_graph_file_is_an_engine_error(
        self, backend: Backend, float_bundle: Bundle, tmp_path: Path
    ) -> None:
        graph = float_bundle.graph("basis")
        broken = tmp_path / graph.files[0].name
        broken.write_bytes(b"<net")
        with pytest.raises(EngineError) as caught:
            backend.open_session(graph, [broken, *float_bundle.graph_files("basis")[1:]], EngineOptions())
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("left", [0, 1, 100, 0.5])
    def test_a_file_that_is_cut_short_is_an_engine_error(
        self, left: float, backend: Backend, float_bundle: Bundle, tmp_path: Path
    ) -> None:
        files = [tmp_path / file.name for file in float_bundle.graph_files("basis")]
        for file, whole in zip(files, float_bundle.graph_files("basis"), strict=True):
            content = whole.read_bytes()
            file.write_bytes(content[: int(left * len(content)) if isinstance(left, float) else left])
        with pytest.raises(EngineError) as caught:
            backend.open_session(float_bundle.graph("basis"), files, EngineOptions())
        assert "\n" not in str(caught.value)
        assert caught.value.__cause__ is not None

    @pytest.mark.parametrize("name", list(OTHER_GRAPHS))
    def test_a_manifest_of_other_graphs_is_a_bundle_error_before_a_frame(
        self, name: str, float_bundle: Bundle
    ) -> None:
        other = dataclasses.replace(float_bundle, manifest=OTHER_GRAPHS[name](float_bundle.manifest))
        with pytest.raises(BundleError, match="the graphs are not what the manifest says"):
            Segmenter.load(other, backend=self.engine)

    @pytest.mark.parametrize(
        ("option", "value"), [("threads", 3_000_000_000), ("streams", 0), ("device", None), ("cache_dir", "")]
    )
    def test_an_option_that_no_engine_takes_is_an_input_error(
        self,
        option: str,
        value: object,
        float_bundle: Bundle,
    ) -> None:
        options: dict[str, Any] = {option: value}
        with pytest.raises(InputError, match=option):
            Segmenter.load(float_bundle, backend=self.engine, **options)

    def test_a_cache_that_cannot_be_written_is_named_or_not_needed(
        self, backend: Backend, float_bundle: Bundle, tmp_path: Path
    ) -> None:
        (tmp_path / "file").touch()
        try:
            opened(backend, float_bundle, cache_dir=tmp_path / "file" / "cache").close()
        except EngineError as error:
            assert "cache" in str(error)

    def test_it_runs_without_a_home_and_without_a_temporary_folder(self, float_bundle: Bundle) -> None:
        nowhere = dict.fromkeys(("HOME", "TMPDIR"), "/nonexistent")
        environment = {**os.environ, **nowhere, "PYTHONPATH": os.pathsep.join(sys.path)}
        arguments = [str(float_bundle.folder), self.engine]
        done = subprocess.run(
            [sys.executable, "-P", "-c", _WITHOUT_HOME, *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr

    def test_a_device_that_is_not_there_is_an_engine_error(
        self, backend: Backend, float_bundle: Bundle
    ) -> None:
        with pytest.raises(EngineError) as caught:
            opened(backend, float_bundle, device="NOWHERE")
        assert "NOWHERE" in str(caught.value)

    def test_another_engines_name_is_refused_with_the_reason(self, float_bundle: Bundle) -> None:
        with pytest.raises(EngineError, match=r"made for .*, not for 'abacus'"):
            Segmenter.load(float_bundle, backend="abacus")

    @pytest.mark.parametrize("precision", ["f32", "bf16", "f16"])
    def test_a_precision_is_what_was_asked_for_or_an_error(
        self, precision: Precision, backend: Backend, float_bundle: Bundle
    ) -> None:
        try:
            session = opened(backend, float_bundle, precision=precision)
        except EngineError as error:
            assert precision in str(error)
            assert precision != "f32"
        else:
            assert session.info.precision == precision
            session.close()
