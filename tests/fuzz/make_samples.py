"""Makes the files in ``samples/``: good inputs, as small as they get, that cases are mutations of.

They are kept, and not made for each run, because encoders and exporters write other bytes with each version,
and a case is to be the same bytes for ever. ``PYTHONPATH=tests python -m fuzz.make_samples`` makes them anew,
which changes all cases. Manifests are not kept: they come from the code as it is.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import cv2
import msgspec
import numpy as np
import onnx
import onnx_graphs
import safetensors.torch
import small_bundle
import small_tflite
import torch
from PIL import Image

import edgeblend
from edgeblend.bundle import Bundle, describe_file
from edgeblend.manifest import MANIFEST_NAME

from .samples import ATTENTION_SIZE, CHANNELS, FOLDER, attention_file

_KEPT = ("format", "precision", "inputs", "outputs")


def main() -> None:
    """Write all samples."""
    small_bundle.CHANNELS = small_tflite.CHANNELS = CHANNELS
    with tempfile.TemporaryDirectory() as work:
        pictures = [_picture(seed, (64, 96)) for seed in range(4)]
        for name, write in (
            ("openvino", small_bundle.write_small_bundle),
            ("onnx", _write_small_onnx),
            ("tflite", small_tflite.write_small_tflite),
        ):
            bundle = _with_small_attention(write(Path(work) / name))
            _keep(bundle, name)
            recipe = edgeblend.Recipe(name="quick", bias_correction="none")
            out = Path(work) / f"{name}-int8"
            _keep(edgeblend.quantize(bundle, out, calibration=pictures, recipe=recipe), f"{name}-int8")
    _write_images(FOLDER / "images")
    _write_videos(FOLDER / "videos")
    _write_checkpoints(FOLDER / "checkpoints")


def _with_small_attention(bundle: Bundle) -> Bundle:
    """Give a bundle attention of 4x4 cells, whose weights are a twelfth of the usual."""
    manifest = json.loads((bundle.folder / MANIFEST_NAME).read_text())
    manifest["blend"]["attention_size"] = ATTENTION_SIZE
    file = bundle.folder / "attention.safetensors"
    file.write_bytes(attention_file())
    manifest["attention"]["file"] = msgspec.to_builtins(describe_file(file))
    (bundle.folder / MANIFEST_NAME).write_text(json.dumps(manifest))
    return Bundle.load(bundle.folder)


def _keep(bundle: Bundle, name: str) -> None:
    folder = FOLDER / "bundles" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    described = {}
    for part, graph in bundle.manifest.graphs.items():
        described[part] = {key: msgspec.to_builtins(getattr(graph, key)) for key in _KEPT}
        described[part]["files"] = [file.name for file in graph.files]
        for path in bundle.graph_files(part):
            shutil.copyfile(path, folder / path.name)
    (folder / "graphs.json").write_text(json.dumps(described, indent=1))


def _write_small_onnx(out: Path) -> Bundle:
    """Write the small TFLite bundle's like as ONNX: its tensors, with channels first."""
    bundle = small_bundle.write_small_bundle(out)
    manifest = json.loads((out / MANIFEST_NAME).read_text())
    manifest["target"] = "onnxruntime"
    for part, model in (("detector", _onnx_detector()), ("basis", _onnx_basis())):
        for end in ("xml", "bin"):
            (out / f"{part}.{end}").unlink()
        onnx.save(model, out / f"{part}.onnx")
        file = msgspec.to_builtins(describe_file(out / f"{part}.onnx"))
        manifest["graphs"][part].update(format="onnx", files=[file])
    (out / MANIFEST_NAME).write_text(json.dumps(manifest))
    return Bundle.load(bundle.folder)


def _onnx_detector() -> onnx.ModelProto:
    build, random = onnx_graphs.GraphBuilder(7), np.random.default_rng(7)

    def layer(name: str, x: str, inputs: int, outputs: int, size: int, stride: int, bias: float = 0.0) -> str:
        weight = random.normal(size=(outputs, inputs, size, size)) * 1.4 / np.sqrt(inputs * size**2)
        shift = random.normal(size=outputs) * 0.2 + bias
        names = [
            build.constant(np.asarray(value, np.float32), f"network.{name}.{kind}")
            for kind, value in (("weight", weight), ("bias", shift))
        ]
        return build.node("Conv", x, *names, name=name, strides=[stride] * 2, pads=[size // 2] * 4)

    x = build.node("Transpose", build.node("Cast", "image", to=onnx.TensorProto.FLOAT), perm=[0, 3, 1, 2])
    x = build.node("Sub", x, build.constant(np.float32(110)))
    x = build.node("Mul", x, build.constant(np.float32(1 / 60)))
    x = build.node("Relu", layer("backbone.stem", x, 3, CHANNELS, 5, 4))
    x = build.node("Relu", layer("backbone.body", x, CHANNELS, CHANNELS, 3, 2))
    pyramid = layer("backbone.output3", x, CHANNELS, CHANNELS, 1, 1)
    tower = build.node("Relu", layer("head.tower", pyramid, CHANNELS, CHANNELS, 3, 1))
    outputs = {
        layer("head.cls_logits", tower, CHANNELS, 2, 3, 1, -2.5): "cls_logits_p3",
        build.node("Relu", layer("head.bbox_pred", tower, CHANNELS, 4, 3, 1, 4)): "box_reg_p3",
        layer("head.ctrness", tower, CHANNELS, 1, 3, 1, 1): "centerness_p3",
        tower: "attention_features_p3",
        pyramid: "p3",
    }
    named = {name: node for node, name in outputs.items()}
    return build.build({"image": ("uint8", (1, *small_bundle.CANVAS, 3))}, named)


def _onnx_basis() -> onnx.ModelProto:
    build = onnx_graphs.GraphBuilder(9)
    size = [side // 8 for side in small_bundle.CANVAS]
    x = build.node("Relu", build.random_layer("basis_module.tower.0", "p3", CHANNELS, CHANNELS))
    scales = build.constant(np.array([1, 1, 2, 2], np.float32))
    x = build.node("Resize", x, "", scales, mode="nearest")
    x = build.node("Relu", build.random_layer("basis_module.tower.1", x, CHANNELS, CHANNELS))
    x = build.random_layer("basis_module.tower.2", x, CHANNELS, 4, size=1)
    return build.build({"p3": ("float32", (1, CHANNELS, *size))}, {"bases": x})


def _picture(seed: int, size: tuple[int, int]) -> np.ndarray:
    """Return a smooth picture, which is small in every format."""
    coarse = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), np.uint8)
    return np.asarray(cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC), np.uint8)


def _write_images(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    bgr = _picture(1, (20, 28))
    rgb, grey = Image.fromarray(np.ascontiguousarray(bgr[..., ::-1])), Image.fromarray(bgr[..., 0])
    alpha = Image.fromarray(np.dstack([bgr, bgr[..., :1]]))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned
    rgb.save(folder / "plain.jpg", quality=60)
    rgb.save(folder / "progressive.jpg", quality=60, progressive=True)
    rgb.save(folder / "turned.jpg", quality=60, exif=exif)
    grey.save(folder / "grey.jpg", quality=60)
    rgb.save(folder / "plain.png")
    alpha.save(folder / "alpha.png")
    rgb.quantize(16).save(folder / "palette.png")
    cv2.imwrite(str(folder / "deep.png"), bgr[:12, :12].astype(np.uint16) * 257)
    rgb.save(folder / "plain.bmp")
    rgb.quantize(16).save(folder / "palette.bmp")
    rgb.save(folder / "lossy.webp", quality=60)
    alpha.save(folder / "lossless.webp", lossless=True)
    rgb.save(folder / "plain.tif")
    rgb.save(folder / "lzw.tif", compression="tiff_lzw")
    grey.save(folder / "deflate.tif", compression="tiff_adobe_deflate")
    rgb.save(folder / "plain.ppm")
    grey.save(folder / "plain.pgm")


def _write_videos(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, code in (("mjpeg.avi", "MJPG"), ("mpeg4.mp4", "mp4v"), ("vp8.webm", "VP80")):
        writer = cv2.VideoWriter(str(folder / name), cv2.VideoWriter.fourcc(*code), 10, (48, 32))
        for seed in range(4):
            writer.write(_picture(seed, (32, 48)))
        writer.release()


def _write_checkpoints(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(0)
    state = {
        "module.backbone.weight": torch.randn(2, 3, 3, 3, generator=generator),
        "module.backbone.bias": torch.randn(2, generator=generator).half(),
        "module.head.centerness.weight": torch.randn(1, 2, 1, 1, generator=generator).double(),
        "module.norm.num_batches_tracked": torch.tensor(7),
    }
    whole = {"model": state, "iteration": 9, "optimizer": {"param_groups": [{"lr": 0.1, "params": [0, 1]}]}}
    torch.save(whole, folder / "zip.pth")
    torch.save(whole, folder / "legacy.pth", _use_new_zipfile_serialization=False)
    safetensors.torch.save_file(state, folder / "plain.safetensors", metadata={"format": "pt"})


if __name__ == "__main__":
    main()
