"""The guide to everyday tasks runs as it stands, block after block."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

import edgeblend

GUIDE = Path(__file__).parents[1] / "docs" / "guides" / "everyday.md"

pytest.importorskip("openvino")
pytest.importorskip("faster_coco_eval")


def test_every_block_runs(tiny_bundle, labelled_pictures, photograph, tmp_path, monkeypatch, capsys) -> None:
    shutil.copytree(tiny_bundle.folder, tmp_path / "bundle")
    shutil.copytree(labelled_pictures / "pictures", tmp_path / "val")
    shutil.copy(labelled_pictures / "labels.json", tmp_path / "val.json")
    cv2.imwrite(str(tmp_path / "street.jpg"), photograph)
    writer = cv2.VideoWriter(
        str(tmp_path / "street.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, photograph.shape[1::-1]
    )
    for number in range(3):
        writer.write(np.roll(photograph, 10 * number, axis=1))
    writer.release()
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), flags=re.DOTALL)
    for block in blocks:
        exec(block, names)  # noqa: S102 - our own documentation
    printed = capsys.readouterr().out
    assert len(blocks) == 7
    assert "left out: frame 1: missing.jpg: no such file" in printed
    instances, again = names["instances"], names["again"]
    assert isinstance(instances, edgeblend.Instances) and len(instances) > 0
    assert again.mask_probs.tobytes() == instances.mask_probs.tobytes()
    assert names["mask"].shape == photograph.shape[:2]
    assert names["written"].frames == 3
    assert cv2.imread("drawn.png").shape == photograph.shape
