"""Stand-in weights: where they cannot be written."""

import pytest
from tiny_model import TINY_YAML

from edgeblend.errors import OutputError
from edgeblend.model.checkpoints.read import read_checkpoint
from edgeblend.model.checkpoints.stand_in import write_stand_in_checkpoint


def test_a_checkpoint_that_cannot_be_written(tmp_path):
    config = tmp_path / "tiny.yaml"
    config.write_text(TINY_YAML)
    for path in (tmp_path / "gone" / "m.pth", tmp_path, tmp_path / ("A" * 300)):
        with pytest.raises(OutputError, match="cannot be written"):
            write_stand_in_checkpoint(config, path)
    assert "top_layer.weight" in read_checkpoint(write_stand_in_checkpoint(config, tmp_path / "m.pth"))
