"""Convert a checkpoint and segment a picture: quickstart.py [CHECKPOINT CONFIG CLASS_NAMES PICTURE]."""

import sys
from importlib.resources import files
from pathlib import Path

import edgeblend

data = Path(str(files("edgeblend.demo_data")))  # the demo model, where nothing else is given
shipped = [data / name for name in ("model.safetensors", "config.yaml", "classes.txt", "val/000010.jpg")]
checkpoint, config, class_names, picture = sys.argv[1:] or shipped

bundle = edgeblend.convert(
    checkpoint, "quickstart-bundle", config=config, class_names=class_names, overwrite=True
)
with edgeblend.Segmenter.load(bundle) as segmenter:
    instances = segmenter(edgeblend.read_image(picture))

print(instances)
print("masks:", instances.masks().shape, "in", f"{sum(instances.timings_ms.values()):.0f} ms")
print(f"overlays: edgeblend run quickstart-bundle {picture} --out results")
