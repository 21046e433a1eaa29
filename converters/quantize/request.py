"""What can be refused before the long work starts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from edgeblend.arguments.checks import check_flag
from edgeblend.bundle import Bundle, check_output
from edgeblend.calibration.data.frames import Frames, check_frames
from edgeblend.calibration.sampling.sample import (
    FEW,
    CalibrationSet,
    check_sampling_options,
    sample_frames,
)
from edgeblend.converters.quantize.recipe_files import check_layer_patterns, load_recipe
from edgeblend.converters.quantize.toolkits import FloatModel, Toolkit, load_toolkit
from edgeblend.converters.quantize.validation import check_search
from edgeblend.errors import BundleError, EdgeBlendError, InputError
from edgeblend.files import paths
from edgeblend.manifest import Part
from edgeblend.recipe import Recipe

PARTS: tuple[Part, ...] = ("detector", "basis")
"""In the order in which they are quantized: the basis graph is calibrated on the detector in INT8."""


def check_request(
    bundle: str | Path | Bundle,
    out: Path,
    *,
    recipe: str | Path | Recipe,
    max_drop: float | None,
    images: str | Path | None,
    annotations: str | Path | None,
    overwrite: bool,
) -> tuple[Bundle, Recipe, Toolkit, dict[Part, FloatModel]]:
    """Refuse what can be refused before any frame is read, as :func:`quantize` does.

    Returns:
        The float bundle, the recipe, what quantizes, and the graphs.
    """
    check_output(out, overwrite=check_flag("overwrite", overwrite))
    check_search(max_drop, images, annotations)
    source = bundle if isinstance(bundle, Bundle) else Bundle.load(bundle)
    recipe = check_recipe(recipe, source.manifest.target)
    if paths.exists(out) and out.resolve() == source.path.resolve():
        raise InputError(
            f"{out}: is the float bundle itself, which quantizing needs again; choose another name"
        )
    check_source(source)
    formats = {part: graph.format for part, graph in source.manifest.graphs.items()}
    toolkit, recipe = load_toolkit(recipe, source.manifest.target, formats)
    return source, recipe, toolkit, read_models(source, recipe, toolkit)


def check_recipe(recipe: str | Path | Recipe, target: str) -> Recipe:
    """Return a recipe that quantizes at least one graph of a target's bundles.

    Raises:
        InputError: there is no such recipe, it is not valid, or it leaves both graphs in float.
    """
    recipe = load_recipe(recipe, target)
    if "int8" not in (recipe.detector, recipe.basis):
        raise InputError(f"recipe {recipe.name!r} leaves both graphs in float: nothing is left to quantize")
    return recipe


def read_models(source: Bundle, recipe: Recipe, toolkit: Toolkit) -> dict[Part, FloatModel]:
    """Return the graphs of a bundle as a toolkit reads them.

    Raises:
        BundleError: a graph cannot be read, or not as what it should be.
        InputError: the recipe names a layer that none of them has.
    """
    models: dict[Part, FloatModel] = {}
    names: list[str] = []
    for part in PARTS:
        try:
            models[part] = toolkit.read_model(source.graph_files(part))
            names += toolkit.layer_names(models[part])
        except (EdgeBlendError, MemoryError):
            raise
        except Exception as error:  # each format's reader has errors of its own
            raise BundleError(f"{source.path}: the {part} graph cannot be read: {error}") from error
    check_layer_patterns(recipe, names)
    return models


def check_sampling(calibration: object, **options: tuple[object, object]) -> None:
    """Refuse options of sampling where the frames were sampled before.

    Otherwise refuse options that no sampling takes.

    Args:
        calibration: what the caller gave.
        options: what each option is, and its default.

    Raises:
        InputError: an option is not its default and would have no effect, or has a wrong value.
    """
    if isinstance(calibration, CalibrationSet):
        for name, (given, default) in options.items():
            if given != default:
                raise InputError(
                    f"{name}: has no effect on frames that were sampled before; give it to sample_frames"
                )
        return
    check_frames("calibration", calibration)
    check_sampling_options(**{name: given for name, (given, _) in options.items()})


@contextmanager
def opened_frames(
    calibration: Frames | CalibrationSet, *, count: int, seed: int = 0, every: int | None = None
) -> Iterator[CalibrationSet]:
    """Enter to calibrate on frames; those that were sampled before stay open afterwards.

    Raises:
        InputError: the frames cannot be used, or are fewer than two.
    """
    with ExitStack() as stack:
        if isinstance(calibration, CalibrationSet):
            frames = calibration
        else:
            frames = stack.enter_context(sample_frames(calibration, count=count, seed=seed, every=every))
        if len(frames) < 2:
            alike = f" ({frames.near_duplicates} others look like it)" if frames.near_duplicates else ""
            raise InputError(
                f"{frames.description}: one picture{alike} cannot show what ranges others need; "
                f"give {FEW} or more representative frames"
            )
        yield frames


def check_source(source: Bundle) -> None:
    """Refuse a bundle that is not in float32, with an InputError."""
    if source.manifest.quantization is not None:
        raise InputError(
            f"{source.path}: is quantized already, with the recipe "
            f"{source.manifest.quantization.recipe.name!r}; quantize the float bundle that it was made from"
        )
    for part, graph in source.manifest.graphs.items():
        if graph.precision != "fp32":
            raise InputError(
                f"{source.path}: the weights of the {part} graph were rounded to {graph.precision}; "
                "quantize a bundle in fp32"
            )
