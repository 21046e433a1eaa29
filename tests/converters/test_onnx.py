"""What an exported ONNX graph is like, and that it computes what torch does."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
ort = pytest.importorskip("onnxruntime")

from onnx_graphs import operators  # noqa: E402 - as above

from edgeblend.converters.onnx.export import OPSET, export_graph, tool_versions, write_model  # noqa: E402
from edgeblend.converters.split import SplitGraph  # noqa: E402
from edgeblend.errors import ConversionError  # noqa: E402
from edgeblend.manifest import TensorSpec  # noqa: E402
from edgeblend.model.backbones.deform_conv import ModulatedDeformConv2d  # noqa: E402
from edgeblend.model.blendmask import BlendMask  # noqa: E402

IMAGE = TensorSpec(role="image", level=None, name="image", layout="NHWC", dtype="uint8")
LOGITS, BOXES = (
    TensorSpec(role=role, level="p3", name=f"{role}_p3", layout="NCHW", dtype="float32")
    for role in ("cls_logits", "box_reg")
)
BASES = TensorSpec(role="bases", level=None, name="bases", layout="NCHW", dtype="float32")
LEVELS = tuple(
    TensorSpec(role="pyramid", level=level, name=level, layout="NCHW", dtype="float32")
    for level in ("p3", "p4")
)


class Network(nn.Module):
    """Normalises as the real one; one layer, and one that two levels share."""

    normalize = BlendMask.normalize

    def __init__(self, mean=(103.5, 116.3, 123.7), std=(1.0, 1.0, 1.0)) -> None:
        super().__init__()
        self.register_buffer("pixel_mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("pixel_std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)
        self.stem = nn.Conv2d(3, 8, 7, stride=8, padding=3)
        self.head = nn.Conv2d(8, 4, 3, padding=1)


class Detector(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image):
        x = F.relu(self.network.stem(self.network.normalize(image)))
        coarse = self.network.head(F.max_pool2d(x, 2))
        return self.network.head(x), F.relu(x[:, :4] + F.interpolate(coarse, scale_factor=2.0))


class Deformable(nn.Module):
    """The way that the backbone takes to one."""

    def __init__(self) -> None:
        super().__init__()
        self.predict = nn.Conv2d(4, 27, 3, stride=2, padding=1)
        self.conv = ModulatedDeformConv2d(4, 6, stride=2)

    def forward(self, x, coarse):
        predicted = self.predict(x)
        out = self.conv(x, predicted[:, :18], torch.sigmoid(predicted[:, 18:]))
        return self.conv.norm(out) + coarse


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def detector(**options) -> SplitGraph:
    module = Detector(Network(**options)).eval().requires_grad_(False)
    return SplitGraph("detector", module, (IMAGE,), (LOGITS, BOXES))


def deformable() -> SplitGraph:
    network = Deformable()
    nn.init.normal_(network.predict.weight, std=0.5)  # taps that move by whole cells
    return SplitGraph("basis", Basis(network).eval().requires_grad_(False), LEVELS, (BASES,))


class Basis(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *features):
        return self.network(*features)


def exported(graph, folder, shapes, *, precision="fp32"):
    sizes = {"detector": [(64, 96)], "basis": [(12, 16), (6, 8)]}[graph.part]
    example = (torch.zeros((1, *sizes[0], 3), dtype=torch.uint8),)
    if graph.part == "basis":
        example = tuple(
            torch.zeros((1, channels, *size)) for channels, size in zip((4, 6), sizes, strict=True)
        )
    written = export_graph(graph, folder, example=example, shapes=shapes, precision=precision)
    (file,) = written.files
    assert (written.inputs, written.outputs) == (graph.inputs, graph.outputs)
    assert file == folder / f"{graph.part}.onnx"
    return file


def picture(height, width):
    return np.random.default_rng(1).integers(0, 256, (1, height, width, 3), np.uint8)


def error(file, graph, *inputs) -> float:
    """The largest difference from torch in standard deviations of torch's values."""
    session = ort.InferenceSession(file, providers=["CPUExecutionProvider"])
    given = {spec.name: array for spec, array in zip(graph.inputs, inputs, strict=True)}
    found = session.run([spec.name for spec in graph.outputs], given)
    expected = graph.module(*(torch.from_numpy(array) for array in inputs))
    expected = [expected] if isinstance(expected, torch.Tensor) else expected
    return max(
        np.abs(one - other.numpy()).max() / float(other.std())
        for one, other in zip(found, expected, strict=True)
    )


STATIC, OPEN = ((1, 64, 96, 3),), ((1, None, None, 3),)


@pytest.fixture(scope="module")
def static(tmp_path_factory):
    torch.manual_seed(0)
    graph = detector()
    return exported(graph, tmp_path_factory.mktemp("static"), STATIC), graph


@pytest.fixture(scope="module")
def dynamic(tmp_path_factory):
    torch.manual_seed(0)
    graph = detector()
    return exported(graph, tmp_path_factory.mktemp("dynamic"), OPEN), graph


def test_a_fixed_canvas(static):
    file, graph = static
    assert error(file, graph, picture(64, 96)) < 1e-4


def test_another_network_is_told_apart(static):
    """The control of the test above."""
    file, _ = static
    torch.manual_seed(1)
    assert error(file, detector(), picture(64, 96)) > 0.1


@pytest.mark.parametrize("size", [(64, 96), (33, 100), (1, 1), (95, 31)])
def test_an_open_canvas_of_any_size(size, dynamic):
    file, graph = dynamic
    assert error(file, graph, picture(*size)) < 1e-4


def test_names_types_and_shapes(static, dynamic):
    for (file, _), sides in ((static, [64, 96]), (dynamic, ["image_h", "image_w"])):
        model = onnx.load(file)
        assert [value.name for value in model.graph.input] == ["image"]
        assert [value.name for value in model.graph.output] == ["cls_logits_p3", "box_reg_p3"]
        kinds = [value.type.tensor_type.elem_type for value in (*model.graph.input, *model.graph.output)]
        assert kinds == [onnx.TensorProto.UINT8, onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT]
        shape = [side.dim_value or side.dim_param for side in model.graph.input[0].type.tensor_type.shape.dim]
        assert [shape[0], shape[3]] == [1, 3]
        assert shape[1:3] == sides


def test_it_is_the_plain_standard(static, dynamic):
    for file, _ in (static, dynamic):
        model = onnx.load(file)
        onnx.checker.check_model(model, full_check=True)
        assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", OPSET)]
        assert not model.functions


def test_a_fixed_canvas_needs_no_operations_on_shapes(static, dynamic):
    assert {"Shape", "Gather", "Concat", "Reshape", "Mod", "Pad"}.isdisjoint(operators(onnx.load(static[0])))
    assert {"Shape", "Pad"} <= set(operators(onnx.load(dynamic[0])))


def test_files_say_nothing_of_where_they_were_made(static, dynamic):
    for file, _ in (static, dynamic):
        content = file.read_bytes()
        for trace in (b".py", b"stack_trace", b"fx_node", b"Mod("):
            assert trace not in content


def test_layers_are_called_as_in_the_checkpoint(static, dynamic):
    for file, _ in (static, dynamic):
        layers = [node.name for node in onnx.load(file).graph.node if node.op_type == "Conv"]
        assert sorted(layers) == ["head", "head/1", "stem"]
        names = {tensor.name for tensor in onnx.load(file).graph.initializer}
        assert {"network.stem.weight", "network.head.weight"} <= names


def test_the_same_network_makes_the_same_file(static, tmp_path):
    file, graph = static
    assert exported(graph, tmp_path, STATIC).read_bytes() == file.read_bytes()


@pytest.mark.parametrize(
    ("mean", "std", "found"),
    [
        ((127.0,) * 3, (128.0,) * 3, {"Sub": 0, "Div": 0}),
        ((103.5, 116.3, 123.7), (1.0,) * 3, {"Sub": 4}),
    ],
)
def test_normalisation_is_as_simple_as_it_can_be(mean, std, found, tmp_path):
    """Dimensions of what is taken off and divided by: 0 for a scalar."""
    graph = detector(mean=mean, std=std)
    file = exported(graph, tmp_path, STATIC)
    model = onnx.load(file)
    sizes = {tensor.name: len(tensor.dims) for tensor in model.graph.initializer}
    made = {node.op_type: sizes[node.input[1]] for node in model.graph.node if node.op_type in ("Sub", "Div")}
    assert made == found
    assert error(file, graph, picture(64, 96)) < 1e-4


# Deformable convolutions


@pytest.fixture(scope="module", params=["static", "open"])
def deformed(request, tmp_path_factory):
    torch.manual_seed(0)
    graph = deformable()
    open_sides = ((1, 4, None, None), (1, 6, None, None))
    shapes = ((1, 4, 12, 16), (1, 6, 6, 8)) if request.param == "static" else open_sides
    return exported(graph, tmp_path_factory.mktemp("deformed"), shapes), graph, request.param


def levels(height, width):
    random = np.random.default_rng(2)
    shapes = ((1, 4, height, width), (1, 6, -(-height // 2), -(-width // 2)))
    return [random.normal(size=shape).astype(np.float32) for shape in shapes]


def test_a_deformable_convolution_is_the_standards_operator(deformed):
    file, graph, kind = deformed
    (node,) = [node for node in onnx.load(file).graph.node if node.op_type == "DeformConv"]
    assert (node.domain, node.name) == ("", "conv")
    for size in [(12, 16)] if kind == "static" else [(12, 16), (7, 21)]:
        assert error(file, graph, *levels(*size)) < 1e-4


def test_taps_that_move_otherwise_are_told_apart(deformed):
    """The control of the test above: torch with the offsets' axes exchanged."""
    file, graph, _ = deformed
    predict = graph.module.network.predict
    before = predict.weight.data.clone()
    predict.weight.data[:18] = before[:18].reshape(9, 2, 4, 3, 3).flip(1).reshape(18, 4, 3, 3)
    different = error(file, graph, *levels(12, 16))
    predict.weight.data = before
    assert different > 0.1


def test_the_network_is_left_as_it_was(deformed):
    assert isinstance(deformed[1].module.network.conv, ModulatedDeformConv2d)


# Weights in half precision


def test_half_precision_is_a_matter_of_the_file_alone(static, tmp_path):
    full, graph = static
    half = exported(graph, tmp_path, STATIC, precision="fp16")
    model = onnx.load(half)
    kinds = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    assert kinds["network.stem.weight.half"] == onnx.TensorProto.FLOAT16
    assert kinds["network.stem.bias"] == onnx.TensorProto.FLOAT
    assert "network.stem.weight" not in kinds
    assert half.stat().st_size < 0.65 * full.stat().st_size
    assert 1e-5 < error(half, graph, picture(64, 96)) < 3e-2


def test_a_shared_weight_is_stored_once(static, tmp_path):
    _, graph = static
    model = onnx.load(exported(graph, tmp_path, STATIC, precision="fp16"))
    assert operators(model).count("Cast") == 3  # the picture, and two layers
    assert len([tensor for tensor in model.graph.initializer if tensor.name.endswith(".half")]) == 2


# What goes wrong


class _Refuses(nn.Module):
    def forward(self, image):
        if image.sum() > 0:  # torch cannot trace a decision by values
            return image.float()
        return -image.float()


def test_a_network_that_cannot_be_traced(tmp_path):
    graph = SplitGraph("detector", _Refuses(), (IMAGE,), (LOGITS,))
    with pytest.raises(ConversionError, match="torch cannot export the detector graph as ONNX: ") as raised:
        exported(graph, tmp_path, STATIC)
    assert "\n" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_a_graph_that_is_not_valid_is_not_written(static, tmp_path):
    model = onnx.load(static[0])
    model.graph.node[0].input[0] = "nowhere"
    with pytest.raises(ConversionError, match="detector.onnx would not be valid ONNX: "):
        write_model(model, tmp_path / "detector.onnx")
    assert list(tmp_path.iterdir()) == []


def test_versions():
    assert set(tool_versions()) == {"onnx", "onnxscript", "torch"}
