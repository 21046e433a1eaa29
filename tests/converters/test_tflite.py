"""Split graphs to TFLite files: the network's parts as devices have them, names, operators, values."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

pytest.importorskip("litert_torch")
pytest.importorskip("ai_edge_quantizer")

from small_tflite import GraphWriter, small_basis
from tiny_model import TINY_YAML

from edgeblend.converters.opened import ExportedGraph
from edgeblend.converters.split import input_shapes, split_network
from edgeblend.converters.tflite import export as tflite
from edgeblend.converters.tflite import toolkit as ai_edge
from edgeblend.converters.tflite.model_file import (
    constant,
    is_integer,
    layer_name,
    name_everything,
    nearest_without_half_pixels,
    operators,
    read_file,
    tensor_name,
    to_bytes,
)
from edgeblend.converters.tflite.modules import ChannelsLast, _GroupNorm, _Upsample, layer_weights
from edgeblend.converters.tflite.precision import round_weights
from edgeblend.converters.verify import relative_error
from edgeblend.errors import ConversionError
from edgeblend.model.blendmask import build_network
from edgeblend.model.checkpoints.stand_in import synthetic_state_dict
from edgeblend.model.config import load_config
from edgeblend.model.fold import fold_batch_norms
from edgeblend.model.layers import GroupNorm
from edgeblend.recipe import Recipe
from edgeblend.runtime.backends.tflite import model_session

CANVAS = (70, 90)
"""Not a multiple of 32: the graph pads."""

DEVICE_OPERATORS = {
    "ADD",
    "CONCATENATION",
    "CONV_2D",
    "DEPTHWISE_CONV_2D",
    "MAX_POOL_2D",
    "MUL",
    "PAD",
    "RESIZE_BILINEAR",
    "RESIZE_NEAREST_NEIGHBOR",
}
GROUP_NORM_OPERATORS = {"MEAN", "SUB", "RSQRT"}
LIGHT_YAML = TINY_YAML.replace("build_fcos_dla_fpn_backbone", "build_fcos_efficientnet_lite_fpn_backbone")
LIGHT_YAML = LIGHT_YAML.replace("level", "stage")
"""With group norms in its head."""
SCALED_YAML = LIGHT_YAML.replace("USE_SCALE: False", "USE_SCALE: True\n    NORM: BN")


def network_of(config: str, tmp_path=None):
    """Return a folded network with stand-in weights: of a published config, or of a YAML text."""
    if tmp_path is not None:
        file = tmp_path / "model.yaml"
        file.write_text(config)
        config = str(file)
    network = build_network(load_config(config))
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    weights = synthetic_state_dict(shapes, 3)
    network.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    return fold_batch_norms(network)


def photograph(canvas: tuple[int, int]) -> torch.Tensor:
    """Return (1, H, W, 3) byte values as float32, smooth as pictures are."""
    coarse = torch.from_numpy(np.random.default_rng(0).uniform(0, 255, (1, 3, 5, 7)).astype(np.float32))
    return F.interpolate(coarse, size=canvas, mode="bilinear").permute(0, 2, 3, 1).round()


def run_torch(graphs, image: torch.Tensor) -> dict[str, np.ndarray]:
    """Return what both graphs give, by name, channels last."""
    detector, basis = graphs
    with torch.no_grad():
        outputs = detector.module(image)
        found = dict(zip((spec.name for spec in detector.outputs), outputs, strict=True))
        found["bases"] = basis.module(*(found[spec.name] for spec in basis.inputs))
    return {name: value.permute(0, 2, 3, 1).numpy() for name, value in found.items()}


# The network's parts


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_upsampling_is_bilinear_with_half_pixel_centres(factor) -> None:
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 3, 4, 5)).astype(np.float32))
    expected = F.interpolate(x, scale_factor=float(factor), mode="bilinear", align_corners=False)
    torch.testing.assert_close(_Upsample(3, factor)(x), expected, atol=5e-6, rtol=0)


def test_without_the_factors_upsampling_is_wrong_at_the_border() -> None:
    upsample = _Upsample(1, 4)
    ones = torch.ones(1, 1, 3, 3)
    filtered = upsample.filter(F.interpolate(ones, scale_factor=4.0))
    assert filtered[0, 0, 0, 0] == pytest.approx(0.625**2)
    torch.testing.assert_close(upsample(ones), torch.ones(1, 1, 12, 12))


def test_group_norms_are_group_norms() -> None:
    norm = GroupNorm(64)
    random = np.random.default_rng(0)
    with torch.no_grad():
        norm.weight.copy_(torch.from_numpy(random.normal(size=64)))
        norm.bias.copy_(torch.from_numpy(random.normal(size=64)))
        x = torch.from_numpy(random.normal(5, 3, size=(1, 64, 6, 7)).astype(np.float32))
        torch.testing.assert_close(_GroupNorm(norm)(x), norm(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("config", [TINY_YAML, SCALED_YAML])
def test_a_graph_of_device_parts_computes_what_the_split_graph_does(config, tmp_path) -> None:
    graphs = split_network(network_of(config, tmp_path), attention="sparse")
    image = photograph(CANVAS)
    expected = run_torch(graphs, image)
    detector, basis = (ChannelsLast(graph) for graph in graphs)
    with torch.no_grad():
        found = dict(zip((spec.name for spec in graphs[0].outputs), detector(image), strict=True))
        (found["bases"],) = basis(*(found[spec.name] for spec in graphs[1].inputs))
    for name, value in expected.items():
        assert relative_error(value, found[name].numpy()) < 1e-4, name


def test_a_resnets_stem_and_scales_compute_what_they_did() -> None:
    graph = split_network(network_of("550_R_50_1x"), attention="sparse")[0]
    image = photograph((64, 96))
    with torch.no_grad():
        expected, found = graph.module(image), ChannelsLast(graph)(image)
    for spec, wanted, value in zip(graph.outputs, expected, found, strict=True):
        assert relative_error(wanted.permute(0, 2, 3, 1).numpy(), value.numpy()) < 1e-4, spec.name


def test_the_split_graph_is_left_as_it_was(tmp_path) -> None:
    graph = split_network(network_of(TINY_YAML, tmp_path), attention="sparse")[0]
    before = [name for name, _ in graph.module.named_modules()]
    ChannelsLast(graph)
    assert [name for name, _ in graph.module.named_modules()] == before


def test_layers_have_the_checkpoints_names_and_helpers_none(tmp_path) -> None:
    graph = split_network(network_of(SCALED_YAML, tmp_path), attention="sparse")[0]
    names = [name for name, _ in layer_weights(ChannelsLast(graph))]
    assert "backbone.bottom_up.blocks.3.depthwise" in names
    assert names.count("proposal_generator.fcos_head.bbox_pred") == 3  # a level each, times its scale
    assert not any("affine" in name or "average" in name or "filter" in name for name in names)


# Files


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A light model's graphs in torch and as files."""
    folder = tmp_path_factory.mktemp("tflite")
    graphs = split_network(network_of(LIGHT_YAML, folder), attention="sparse")
    written = [
        tflite.export_graph(
            graph, folder, example=(), shapes=input_shapes(graph, CANVAS, 32), precision="fp32"
        )
        for graph in graphs
    ]
    return graphs, written


@pytest.mark.long
def test_files_compute_what_torch_does(exported) -> None:
    graphs, (detector, basis) = exported
    image = photograph(CANVAS)
    expected = run_torch(graphs, image)
    found = dict(model_session(detector.files[0]).run({"image": image.numpy()}))
    given = {spec.name: found[spec.name] for spec in basis.inputs}
    found |= model_session(basis.files[0]).run(given)
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert relative_error(value, found[name]) < 1e-3, name


def kinds_of(graph: ExportedGraph) -> set[str]:
    return {kind for kind, _ in operators(read_file(graph.files[0].read_bytes()))}


@pytest.mark.long
def test_files_have_only_operators_that_devices_have(exported) -> None:
    _, (detector, basis) = exported
    assert kinds_of(basis) <= DEVICE_OPERATORS
    assert kinds_of(detector) <= DEVICE_OPERATORS | GROUP_NORM_OPERATORS
    model = read_file(detector.files[0].read_bytes())
    assert max(len(tensor.shape) for tensor in model.subgraphs[0].tensors) == 4
    kinds = [kind for kind, _ in operators(model)]
    assert kinds.count("PAD") == 1  # to a multiple of 32; the backbone's uneven padding is the layers' own
    resizes = [operator for kind, operator in operators(model) if kind == "RESIZE_NEAREST_NEIGHBOR"]
    assert resizes and not any(operator.builtinOptions.halfPixelCenters for operator in resizes)


@pytest.mark.long
def test_tensors_and_layers_are_named(exported) -> None:
    graphs, written = exported
    for graph, file in zip(graphs, written, strict=True):
        model = read_file(file.files[0].read_bytes())
        subgraph = model.subgraphs[0]
        names = [tensor_name(model, index) for index in range(len(subgraph.tensors))]
        assert len(set(names)) == len(names)
        assert not any(".py" in name or "edgeblend" in name for name in names)
        assert {tensor_name(model, index) for index in subgraph.inputs} == {spec.name for spec in file.inputs}
        assert {tensor_name(model, index) for index in subgraph.outputs} == {
            spec.name for spec in file.outputs
        }
        layers = {layer_name(model, operator) for _, operator in operators(model)} - {None}
        module = graph.module.network
        expected = {name for name, _ in layer_weights(ChannelsLast(graph))}
        part = "basis_module." if graph.part == "basis" else ("backbone.", "proposal_generator.")
        assert layers == {name for name in expected if name.startswith(part)}
        for kind, operator in operators(model):
            name = layer_name(model, operator)
            if name is not None:
                weight = module.get_submodule(name).weight.detach().numpy()
                axes = (1, 2, 3, 0) if kind == "DEPTHWISE_CONV_2D" else (0, 2, 3, 1)
                np.testing.assert_array_equal(constant(model, operator.inputs[1]), weight.transpose(axes))


@pytest.mark.long
def test_the_description_is_what_is_in_the_file(exported) -> None:
    _, (detector, basis) = exported
    assert [(spec.layout, spec.dtype) for spec in detector.inputs] == [("NHWC", "float32")]
    assert {(spec.layout, spec.dtype) for spec in (*detector.outputs, *basis.outputs)} == {
        ("NHWC", "float32")
    }
    assert detector.files[0].name == "detector.tflite"


@pytest.mark.long
def test_the_same_graph_makes_the_same_bytes(exported, tmp_path) -> None:
    graphs, (_, basis) = exported
    shapes = input_shapes(graphs[1], CANVAS, 32)
    again = tflite.export_graph(graphs[1], tmp_path, example=(), shapes=shapes, precision="fp32")
    assert again.files[0].read_bytes() == basis.files[0].read_bytes()


@pytest.mark.long
def test_group_norms_stay_in_float_when_all_layers_are_in_int8(exported) -> None:
    """The variance of a group norm has too wide a range for 8 bits."""
    _, (detector, _) = exported
    content = detector.files[0].read_bytes()
    recipe = Recipe(name="test", bias_correction="fast", overflow_safe=False)
    items = [{"image": photograph(CANVAS).numpy()}]
    made = ai_edge.quantize_model(content, items, recipe, float_layers=(), arriving={})
    assert ai_edge.layers_in_int8(made) == ai_edge.layer_names(content)
    model = read_file(made)
    in_float = [kind for kind, operator in operators(model) if not is_integer(model, operator.outputs[0])]
    assert set(in_float) == {"MEAN", "SUB", "MUL", "RSQRT", "ADD", "CONV_2D", "DEQUANTIZE"}
    assert in_float.count("MEAN") == 2 * in_float.count("RSQRT") == 6  # one norm, at three levels


@pytest.mark.parametrize(("precision", "error"), [("fp16", 3e-2), ("int8-dynamic", 0.3)])
def test_weights_in_fewer_bits(precision, error) -> None:
    whole = small_basis()
    fewer = round_weights(whole, precision)
    assert len(fewer) < len(whole)
    item = {"p3": np.random.default_rng(0).normal(size=(1, 8, 12, 8)).astype(np.float32)}
    expected, found = (model_session(content).run(item)["bases"] for content in (whole, fewer))
    assert 0 < relative_error(expected, found) < error
    assert round_weights(whole, "fp32") == whole


def test_a_side_that_is_to_stay_open_is_refused(tmp_path) -> None:
    graph = split_network(network_of(TINY_YAML, tmp_path), attention="sparse")[0]
    with pytest.raises(ConversionError, match="a TFLite graph has one size"):
        tflite.export_graph(
            graph, tmp_path, example=(), shapes=input_shapes(graph, None, 32), precision="fp32"
        )


def test_what_litert_does_not_take_is_a_conversion_error_of_one_line(tmp_path, monkeypatch) -> None:
    graph = split_network(network_of(TINY_YAML, tmp_path), attention="sparse")[1]

    def fail(*args) -> None:
        raise ValueError("Failed to run converter passes\nloc(...)")

    monkeypatch.setattr(tflite.litert_torch, "convert", fail)
    with pytest.raises(ConversionError) as caught:
        tflite.export_graph(
            graph, tmp_path, example=(), shapes=input_shapes(graph, CANVAS, 32), precision="fp32"
        )
    assert str(caught.value) == "LiteRT cannot convert the basis graph: Failed to run converter passes"


def test_deformable_convolutions_are_refused() -> None:
    assert tflite.refusal(load_config("R_50_3x")) is None
    reason = tflite.refusal(load_config("R_101_dcni3_5x"))
    assert reason is not None and "deformable convolutions" in reason


def test_versions_are_of_what_exports() -> None:
    assert set(tflite.tool_versions()) >= {"litert-torch", "torch"}


# Names and flags of files


def chained(weights: list[np.ndarray]) -> bytes:
    """Return a graph of 1x1 convolutions one after the other, named as an exporter might."""
    writer = GraphWriter(0)
    x = writer.tensor("args_0", (1, 2, 2, 2))
    for number, weight in enumerate(weights):
        writer.tensor(f"arith.constant{number}.weight", weight.shape, weight.astype(np.float32))
        writer.tensor(f"arith.constant{number}.bias", (2,), np.zeros(2, np.float32))
        x = writer.convolution(f"arith.constant{number}", x, 2, size=1, output=f"output_{number}")
    return writer.content(["args_0"], [f"output_{number}" for number in range(len(weights))])


def test_layers_are_found_by_their_weights_and_equal_ones_by_their_order() -> None:
    one, other = np.arange(4.0).reshape(2, 1, 1, 2), np.arange(4.0, 8.0).reshape(2, 1, 1, 2)
    model = read_file(chained([one, other, one]))
    given = [("first", one), ("second", other), ("third", one)]
    name_everything(
        model,
        inputs=["x"],
        outputs=["a", "b", "c"],
        weights=[(name, weight.astype(np.float32).transpose(0, 3, 1, 2)) for name, weight in given],
    )
    assert [layer_name(model, operator) for _, operator in operators(model)] == ["first", "second", "third"]
    again = read_file(to_bytes(model))
    assert [tensor_name(again, index) for index in again.subgraphs[0].outputs] == ["a", "b", "c"]
    assert [entry.name for entry in again.signatureDefs[0].outputs] == [b"a", b"b", b"c"]


def test_a_weight_that_nobody_knows_is_no_layer() -> None:
    model = read_file(chained([np.ones((2, 1, 1, 2))]))
    name_everything(
        model, inputs=["x"], outputs=["y"], weights=[("layer", np.zeros((2, 2, 1, 1), np.float32))]
    )
    (only,) = [operator for _, operator in operators(model)]
    assert layer_name(model, only) is None
    assert tensor_name(model, only.inputs[1]) == "/constant_0_1"


@pytest.mark.parametrize(("height", "centres"), [(16, False), (17, True)])
def test_half_pixel_centres_go_where_they_make_no_difference(height, centres) -> None:
    writer = GraphWriter(0)
    x = writer.tensor("x", (1, 8, 8, 1))
    writer.doubled(x)
    model = read_file(writer.content(["x"], ["/doubled"]))
    ((_, resize),) = operators(model)
    resize.builtinOptions.halfPixelCenters = True
    model.subgraphs[0].tensors[resize.outputs[0]].shape = [1, height, 16, 1]
    nearest_without_half_pixels(model)
    assert resize.builtinOptions.halfPixelCenters is centres
