"""Configs: the published ones, and what is refused in a user's own."""

import re
from pathlib import Path

import pytest

from edgeblend.errors import ConfigError
from edgeblend.model.config import (
    NAMED,
    OWN,
    PUBLISHED,
    blend_spec,
    decode_spec,
    load_config,
    named_settings,
    panoptic_spec,
)
from edgeblend.model.config_files import keys as config_keys
from edgeblend.model.config_files.schema import DLAConfig, EfficientNetLiteConfig, ResNetConfig
from edgeblend.spec import BlendSpec, LevelSpec, PanopticSpec


@pytest.fixture
def write(tmp_path):
    def write(text: str, name: str = "my.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def refusal(path) -> str:
    """The one-line message that a config is refused with."""
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    message = str(caught.value)
    assert "\n" not in message
    return message


def nested(dotted: str, value: str) -> str:
    """``A.B`` and ``1`` as YAML sections."""
    parts = dotted.split(".")
    lines = [f"{'  ' * depth}{part}:" for depth, part in enumerate(parts)]
    return "\n".join(lines) + f" {value}\n"


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_configs_load(name):
    config = load_config(name)
    assert config.name == name
    assert not config.fcos.use_scale
    assert config.fcos.threshold_with_centerness
    assert config.basis.loss_on
    assert (config.panoptic is None) == (config.semantic is None) == (not name.startswith("Panoptic/"))


def test_what_sets_published_configs_apart():
    base, small = load_config("R_50_3x"), load_config("550_R_50_1x")
    fast, dla = load_config("RT_R_50_4x_bn-head_syncbn_shtw"), load_config("DLA_34_syncbn_4x")
    assert base.backbone == ResNetConfig(50, "FrozenBN", True, (False,) * 4, 1)
    deform = ResNetConfig(101, "FrozenBN", True, (False, True, True, True), 3)
    assert load_config("R_101_dcni3_5x").backbone == deform
    assert (base.input.min_size, base.input.max_size) == (800, 1333)
    assert (small.input.min_size, small.input.max_size, small.fpn.top_levels) == (550, 916, 1)
    assert (fast.input.min_size, fast.input.max_size, fast.fcos.norm) == (512, 736, "SyncBN")
    assert (fast.fcos.num_share_convs, fast.fcos.num_cls_convs, fast.fcos.num_box_convs) == (3, 0, 0)
    assert (fast.basis.num_convs, dla.basis.num_convs) == (2, 3)
    assert dla.backbone == DLAConfig("SyncBN", freeze_at=0)  # trained as a whole, as the real-time ones
    assert fast.backbone == ResNetConfig(50, "SyncBN", True, (False,) * 4, 1, freeze_at=0)
    assert load_config("Person/R_50_1x").fcos.num_classes == 1


def test_own_configs_come_with_the_published_ones():
    assert OWN == ("Lite0_320",)
    assert (*PUBLISHED, *OWN) == NAMED
    folder = Path(config_keys.__file__).parents[1] / "configs"
    files = {path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.yaml")}
    assert {name for name in files if "Base-" not in name} == set(NAMED)


def test_lite0_320():
    config = load_config("Lite0_320")
    assert config.name == "Lite0_320"
    assert config.backbone == EfficientNetLiteConfig("FrozenBN", freeze_at=2)
    assert config.fpn.in_features == ("stage3", "stage4", "stage5")
    assert (config.fpn.out_channels, config.fpn.top_levels) == (64, 0)
    assert (config.fcos.in_features, config.fcos.strides) == (("p3", "p4", "p5"), (8, 16, 32))
    assert (config.fcos.norm, config.fcos.num_classes, config.fcos.use_scale) == ("BN", 80, False)
    assert (config.fcos.num_share_convs, config.fcos.num_cls_convs, config.fcos.num_box_convs) == (3, 0, 0)
    assert (config.basis.convs_dim, config.basis.num_convs, config.basis.loss_on) == (64, 1, True)
    assert (config.input.min_size, config.input.max_size) == (320, 320)
    # ImageNet's weights were trained with this, alike for all channels.
    assert (config.input.pixel_mean, config.input.pixel_std) == ((127.0,) * 3, (128.0,) * 3)
    assert config.panoptic is None


def test_how_configs_are_trained():
    base, lite = load_config("R_50_3x"), load_config("Lite0_320")
    assert base.fcos.sizes_of_interest == (64, 128, 256, 512)
    assert lite.fcos.sizes_of_interest == (64, 128)
    for config in (base, lite):
        assert (config.fcos.center_sample, config.fcos.pos_radius) == (True, 1.5)
        assert (config.fcos.loc_loss_type, config.fcos.prior_prob) == ("giou", 0.01)
        assert (config.basis.loss_weight, config.basis.num_semantic_classes) == (0.3, 80)
        assert config.backbone.freeze_at == 2


@pytest.mark.parametrize("name", ["Lite0_320", "R_50_3x", "DLA_34_syncbn_4x"])
def test_what_is_frozen_can_be_set(write, name):
    configs = Path(config_keys.__file__).parents[1] / "configs"
    path = write(f"_BASE_: {configs / name}.yaml\nMODEL:\n  BACKBONE:\n    FREEZE_AT: 4\n")
    assert load_config(path).backbone.freeze_at == 4


def test_a_config_based_on_lite0_keeps_the_rest(write):
    base = Path(config_keys.__file__).parents[1] / "configs" / "Lite0_320.yaml"
    text = f"_BASE_: {base}\nMODEL:\n  FCOS:\n    NUM_CLASSES: 3\n  EFFICIENTNET_LITE:\n    NORM: BN\n"
    config = load_config(write(text))
    assert (config.name, config.fcos.num_classes, config.fpn.out_channels) == ("my", 3, 64)
    assert config.backbone == EfficientNetLiteConfig("BN")


def test_settings_of_a_named_config_come_with_its_bases():
    settings = named_settings("Lite0_320")
    assert settings["MODEL.FPN.OUT_CHANNELS"].value == 64
    assert settings["MODEL.BASIS_MODULE.LOSS_ON"].value is True  # set by the base of its base
    assert settings["INPUT.MIN_SIZE_TEST"].value == 320  # and not the base's 512
    assert "_BASE_" not in settings
    with pytest.raises(ConfigError, match="did you mean Lite0_320"):
        named_settings("Lite0_32")


def test_specs_for_the_manifest():
    config = load_config("Panoptic/R_50_3x")
    decode = decode_spec(config)
    assert decode.levels[0] == LevelSpec(name="p3", stride=8)
    assert [level.stride for level in decode.levels] == [8, 16, 32, 64, 128]
    assert (decode.score_threshold, decode.nms_threshold, decode.pre_nms_top_k) == (0.05, 0.6, 1000)
    assert (decode.num_classes, decode.max_detections, decode.threshold_with_centerness) == (80, 100, True)
    assert blend_spec(config) == BlendSpec(
        num_bases=4, attention_size=14, attention_interpolation="bilinear", mask_size=56, basis_stride=4
    )
    assert panoptic_spec(config) == PanopticSpec(
        overlap_threshold=0.4, stuff_area_limit=4096, instance_score_threshold=0.45
    )
    assert panoptic_spec(load_config("R_50_3x")) is None


def test_a_file_overrides_its_base(write):
    write("MODEL:\n  FCOS:\n    NUM_CLASSES: 3\n    NMS_TH: 0.7\n", "base.yaml")
    config = load_config(write("_BASE_: base.yaml\nMODEL:\n  FCOS:\n    NUM_CLASSES: 5\n"))
    assert (config.name, config.fcos.num_classes, config.fcos.nms_threshold) == ("my", 5, 0.7)


def test_a_key_that_no_file_sets_has_its_default(write):
    config = load_config(write("MODEL:\n  WEIGHTS: somewhere.pth\n"))
    assert config.fcos.use_scale
    assert not config.fcos.threshold_with_centerness
    assert config.fcos.norm == "GN"


def test_python_literals_in_strings_are_read(write):
    text = """
MODEL:
  BLENDMASK:
    POOLER_SCALES: "(0.25,)"
  PIXEL_STD: "(57.375, 57.12, 58.395)"
  FCOS:
    NMS_TH: "5e-1"
    CENTER_SAMPLE: "False"
INPUT:
  MIN_SIZE_TRAIN: (256, 288, 320)
"""
    config = load_config(write(text))
    assert config.input.pixel_std == (57.375, 57.12, 58.395)
    assert config.fcos.nms_threshold == 0.5
    assert config.fcos.center_sample is False


def test_a_file_comes_before_a_published_name(write, monkeypatch):
    path = write("MODEL:\n  FCOS:\n    NUM_CLASSES: 2\n", "R_50_3x")
    monkeypatch.chdir(path.parent)
    assert load_config("R_50_3x").fcos.num_classes == 2


def test_a_folder_does_not_hide_a_published_name(tmp_path, monkeypatch):
    (tmp_path / "R_50_3x").mkdir()
    monkeypatch.chdir(tmp_path)
    assert load_config("R_50_3x").fcos.num_classes == 80


def test_training_sections_are_not_looked_into(write):
    text = "SOLVER:\n  ANY: 1\n  5: 1\n  a.b: 1\nDATASETS:\n  TRAIN: (x,)\nTEST:\n  AUG: {ON: 1}\n"
    text += "OUTPUT_DIR: out\nVERSION: 2\n"
    text += "MODEL:\n  MASK_ON: True\n  RPN:\n    WHATEVER: 1\n  FCOS:\n    LOSS_ALPHA: 0.3\n"
    assert load_config(write(text)).fcos.num_classes == 80


def test_sizes_of_interest_follow_the_levels_unless_given(write):
    levels = "MODEL:\n  FCOS:\n    TOP_LEVELS: 0\n    IN_FEATURES: [p3, p4]\n    FPN_STRIDES: [8, 16]\n"
    assert load_config(write(levels)).fcos.sizes_of_interest == (64,)
    message = refusal(write(levels + "    SIZES_OF_INTEREST: [64, 128]\n"))
    assert "SIZES_OF_INTEREST has 2 values; 2 levels need 1" in message


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("R_50_3", "did you mean R_50_3x"),
        ("R_50_3x.yaml", "did you mean R_50_3x"),
        ("lite0_320", "did you mean Lite0_320"),
        ("panoptic/R_50_3x", "did you mean Panoptic/R_50_3x"),
        ("zzzz", "known are R_50_1x, "),
        ("../configs/R_50_3x", "neither a file nor a known name"),
    ],
)
def test_unknown_names_come_with_near_ones(name, hint):
    assert hint in refusal(name)


def test_a_folder_is_refused(tmp_path):
    assert "is a folder" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "is empty"),
        ("# nothing\n", "is empty"),
        ("- a\n- b\n", "holds a sequence"),
        ("just words", "holds a scalar"),
        ("MODEL:\n  FCOS: {NORM: GN\n", r"my\.yaml:\d+: not valid YAML"),
        ("MODEL:\n\tFCOS: 1\n", r"my\.yaml:2: not valid YAML"),
        ("a: 1\n---\nb: 2\n", "not valid YAML"),
        (
            "MODEL: !!python/object/apply:os.getcwd []\n",
            r"my\.yaml:1: .*'!!python/object/apply:os.getcwd' would",
        ),
        ("MODEL: {}\nINPUT: {}\nMODEL: {}\n", r"my\.yaml:3: MODEL is already set in line 1"),
        ("MODEL:\n  FCOS:\n    NORM: GN\n    NORM: BN\n", r":4: MODEL\.FCOS\.NORM is already set in line 3"),
        ("MODEL: &m\n  FCOS: *m\n", r"my\.yaml:2: .*aliases within what has a name"),
        ("SOLVER: &s {A: 1}\nTEST: *s\n", "aliases of whole sections"),
        ("5: 1\n", "unknown key 5"),
        ("? [a, b]\n: 1\n", "a key is a sequence; expected a name"),
        ("MODEL.FCOS.NORM: GN\n", "unknown key 'MODEL.FCOS.NORM'"),
        ("MODEL:\n  FCOS.NORM: GN\n", "unknown key MODEL.'FCOS.NORM'"),
        ("SOLVER:\n  A: 2020-99-99\n", "not valid YAML"),
        ("[" * 5000, "not valid YAML"),
    ],
)
def test_broken_yaml_is_refused_with_file_and_line(write, text, expected):
    path = write(text)
    message = refusal(path)
    assert str(path) in message
    assert re.search(expected, message)


def test_a_checkpoint_given_as_config_is_refused(tmp_path):
    path = tmp_path / "model.pth"
    path.write_bytes(b"PK\x03\x04\xff\xfe\x80")
    assert "not a text file" in refusal(path)
    path.write_bytes(b"a" * 2_000_000)
    assert "is it the checkpoint?" in refusal(path)


def test_bases_that_are_missing_or_circular_are_refused(write):
    assert "_BASE_ 'gone.yaml' is not a file" in refusal(write("_BASE_: gone.yaml\n"))
    assert "must be one path" in refusal(write("_BASE_: [a.yaml, b.yaml]\n"))
    a = write("_BASE_: b.yaml\n", "a.yaml")
    b = write("_BASE_: a.yaml\n", "b.yaml")
    assert f"circle: {a} -> {b} -> {a}" in refusal(a)
    assert "circle" in refusal(write("_BASE_: my.yaml\n"))


def test_all_unknown_keys_are_named_with_the_nearest_known_one(write):
    text = "MODEL:\n  FCOS:\n    NUM_CLASES: 3\n  BLENDMASK:\n    ATTN_SIZES: 14\nINPTU:\n  FORMAT: BGR\n"
    path = write(text)
    message = refusal(path)
    assert (
        f"{path}:3: unknown key MODEL.FCOS.NUM_CLASES (the nearest known key is MODEL.FCOS.NUM_CLASSES)"
        in message
    )
    assert f"{path}:5: unknown key MODEL.BLENDMASK.ATTN_SIZES" in message
    assert "MODEL.BLENDMASK.ATTN_SIZE)" in message
    assert f"{path}:7: unknown key INPTU.FORMAT (the nearest known key is INPUT.FORMAT)" in message


def test_an_unknown_key_of_a_base_is_named_with_the_base(write):
    base = write("MODEL:\n  FPN:\n    CHANNELS: 3\n", "base.yaml")
    assert f"{base}:3: unknown key MODEL.FPN.CHANNELS" in refusal(write("_BASE_: base.yaml\n"))


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("MODEL.FCOS.NUM_CLASSES", "eighty", "expected a value of type int, not 'eighty'"),
        ("MODEL.FCOS.NUM_CLASSES", "80.5", "expected a value of type int"),
        ("MODEL.FCOS.NUM_CLASSES", "True", "expected a value of type int"),
        ("MODEL.FCOS.NUM_CLASSES", "0", "expected at least 1"),
        ("MODEL.PIXEL_STD", f"'[1, 1, 0x{'F' * 900}]'", "expected a value of type float"),
        ("MODEL.FCOS.NMS_TH", f"'{'(' * 999}'", "expected a value of type float"),
        ("MODEL.FCOS.NUM_CLASSES", "", "expected a value of type int, not None"),
        ("MODEL.FCOS.NUM_CLASSES", "{a: 1}", "unknown key MODEL.FCOS.NUM_CLASSES.a"),
        ("MODEL.FCOS", "3", "MODEL.FCOS is a section"),
        ("MODEL.FCOS.USE_SCALE", "1", "expected a value of type bool"),
        ("MODEL.FCOS.NMS_TH", "1.5", "expected at least 0 and at most 1"),
        ("MODEL.FCOS.INFERENCE_TH_TEST", "-0.1", "expected at least 0 and at most 1"),
        ("MODEL.FCOS.NMS_TH", ".nan", "expected a value of type float"),
        ("MODEL.FCOS.NORM", "LN", "supported: 'GN', 'BN', 'SyncBN', 'none'"),
        ("MODEL.FCOS.TOP_LEVELS", "3", "supported: 0, 1, 2"),
        ("MODEL.FCOS.IN_FEATURES", "p3", "expected a list of str"),
        ("MODEL.FCOS.IN_FEATURES", "[3, 4]", "expected a value of type str, not 3"),
        ("MODEL.META_ARCHITECTURE", "CondInst", "supported: 'BlendMask'"),
        ("MODEL.BACKBONE.NAME", "build_vovnet_fpn_backbone", "supported: 'build_fcos_resnet_fpn_backbone'"),
        ("MODEL.BACKBONE.FREEZE_AT", "6", "expected at least -1 and at most 5"),
        ("MODEL.BACKBONE.FREEZE_AT", "-2", "expected at least -1 and at most 5"),
        ("MODEL.FCOS.NUM_CLASSES", "20001", "expected at least 1 and at most 20000"),
        ("MODEL.FPN.OUT_CHANNELS", "1073741824", "expected at least 1 and at most 2048"),
        ("MODEL.BLENDMASK.ATTN_SIZE", "65", "expected at least 1 and at most 64"),
        ("INPUT.MAX_SIZE_TEST", "2147483648", "expected at least 1 and at most 32768"),
        ("MODEL.FCPOSE_ON", "True", "supported: False"),
        ("MODEL.MOBILENET", "True", "supported: False"),
        ("MODEL.FCOS.USE_DEFORMABLE", "True", "supported: False"),
        ("MODEL.EFFICIENTNET_LITE.CONV_BODY", "Lite4", "supported: 'Lite0'"),
        ("MODEL.EFFICIENTNET_LITE.NORM", "GN", "supported: 'FrozenBN', 'BN', 'SyncBN'"),
        ("MODEL.FCOS.LOC_LOSS_TYPE", "diou", "supported: 'giou', 'iou', 'linear_iou'"),
        ("MODEL.RESNETS.DEPTH", "18", "supported: 50, 101"),
        ("MODEL.RESNETS.NUM_GROUPS", "32", "supported: 1"),
        ("MODEL.RESNETS.NORM", "LN", "supported: 'FrozenBN', 'BN', 'SyncBN'"),
        ("MODEL.BASIS_MODULE.NORM", "GN", "supported: 'FrozenBN', 'BN', 'SyncBN'"),
        ("MODEL.BLENDMASK.POOLER_TYPE", "ROIAlign", "supported: 'ROIAlignV2'"),
        ("MODEL.BLENDMASK.POOLER_SAMPLING_RATIO", "2", "supported: 1"),
        ("MODEL.BLENDMASK.POOLER_SCALES", "[0.125]", "supported: 0.25"),
        ("MODEL.BLENDMASK.TOP_INTERP", "cubic", "supported: 'bilinear', 'nearest'"),
        ("MODEL.SEM_SEG_HEAD.COMMON_STRIDE", "8", "supported: 4"),
        ("MODEL.PIXEL_STD", "[0, 1, 1]", "expected at least"),
        ("INPUT.FORMAT", "RGB", "supported: 'BGR'"),
    ],
)
def test_wrong_types_and_unsupported_values_are_refused(write, key, value, expected):
    path = write(nested(key, value))
    message = refusal(path)
    assert f"{path}:" in message
    assert key in message
    assert expected in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("MODEL:\n  FCOS:\n    FPN_STRIDES: [8, 16]\n", "FPN_STRIDES has 2 values for 5 levels"),
        ("MODEL:\n  FCOS:\n    FPN_STRIDES: [4, 8, 16, 32, 64]\n", "p<n> has stride 2**n"),
        ("MODEL:\n  FCOS:\n    FPN_STRIDES: [8, 16, 32, 64, 100]\n", "p<n> has stride 2**n"),
        ("MODEL:\n  FCOS:\n    IN_FEATURES: [p3, p5]\n    FPN_STRIDES: [8, 32]\n", "each level doubles it"),
        (
            "MODEL:\n  FCOS:\n    TOP_LEVELS: 0\n",
            "wants p6, p7, but FPN.IN_FEATURES and",
        ),
        ("MODEL:\n  FCOS:\n    IN_FEATURES: [x, y]\n    FPN_STRIDES: [8, 16]\n", "wants x, y"),
        ("MODEL:\n  FCOS:\n    IN_FEATURES: []\n    FPN_STRIDES: []\n", "expected one or more names"),
        ("MODEL:\n  FCOS:\n    SIZES_OF_INTEREST: [64, 32, 128, 256]\n", "does not rise"),
        (
            "MODEL:\n  FPN:\n    IN_FEATURES: [level3, level4, level5]\n",
            "supported are res2, res3, res4",
        ),
        (
            "MODEL:\n  BACKBONE: {NAME: build_fcos_efficientnet_lite_fpn_backbone}\n",
            "IN_FEATURES is res3, res4, res5; with this backbone supported are stage2, stage3, stage4",
        ),
        ("MODEL:\n  FPN:\n    OUT_CHANNELS: 100\n", "cannot be cut into the 32 groups"),
        ("MODEL:\n  BASIS_MODULE:\n    IN_FEATURES: [p4, p5]\n", "must begin with p3"),
        ("MODEL:\n  BASIS_MODULE:\n    IN_FEATURES: [p3, p3]\n", "each once"),
        ("MODEL:\n  PIXEL_MEAN: [1.0, 2.0]\n", "PIXEL_MEAN has 2 values instead of 3"),
        ("MODEL:\n  RESNETS:\n    DEFORM_ON_PER_STAGE: [False, True, True, True]\n", "DEFORM_MODULATED off"),
        (
            "MODEL:\n  RESNETS:\n    DEFORM_ON_PER_STAGE: [True]\n    DEFORM_MODULATED: True\n",
            "DEFORM_ON_PER_STAGE has 1 values instead of 4",
        ),
        ("MODEL:\n  PANOPTIC_FPN:\n    COMBINE:\n      ENABLED: True\n", "SEM_SEG_HEAD.IN_FEATURES wants p2"),
        ("INPUT:\n  MIN_SIZE_TEST: 900\n  MAX_SIZE_TEST: 800\n", "MIN_SIZE_TEST 900 is more than"),
    ],
)
def test_contradictions_are_refused(write, text, expected):
    message = refusal(write(text))
    assert message.startswith("The config my contradicts itself: ")
    assert expected in message


def test_a_hundred_unknown_keys_are_not_all_named(write):
    message = refusal(write("".join(f"KEY_{number}: 1\n" for number in range(100))))
    assert "unknown key KEY_19 " in message
    assert "KEY_20" not in message
    assert message.endswith("; and more.")


def test_every_default_is_itself_allowed():
    for name, key in config_keys.KEYS.items():
        assert config_keys._convert(key.default, key) == key.default, name
