"""Convert a checkpoint and segment a picture: quickstart.py [CHECKPOINT CONFIG PICTURE]."""

import sys
from importlib.resources import files
from pathlib import Path

import edgeblend
from edgeblend.model.stand_in import write_stand_in_checkpoint

if len(sys.argv) == 4:
    checkpoint, config, picture = sys.argv[1:]
else:  # no checkpoint at hand: untrained weights show that everything runs, and detect noise
    config, picture = "DLA_34_syncbn_4x", str(files("edgeblend.converters") / "data" / "coffee.jpg")
    checkpoint = write_stand_in_checkpoint(config, Path("stand_in.pth"))

bundle = edgeblend.convert(checkpoint, "quickstart-bundle", config=config, overwrite=True)
with edgeblend.Segmenter.load(bundle) as segmenter:
    instances = segmenter(edgeblend.read_image(picture))

print(instances)
print("masks:", instances.masks().shape, "in", f"{sum(instances.timings_ms.values()):.0f} ms")
print(f"overlays: edgeblend run quickstart-bundle {picture} --out results")
