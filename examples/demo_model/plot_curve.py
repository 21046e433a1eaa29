"""Draws the training curve: plot_curve.py (needs matplotlib)."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib.pyplot as plt

_HERE = Path(__file__).parent


def main() -> None:
    """Read ``training_log.jsonl`` and write ``training_curve.png``."""
    records = [json.loads(line) for line in (_HERE / "training_log.jsonl").read_text().splitlines()]
    epochs = [record["epoch"] for record in records]
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    for name in records[0]["losses"]:
        left.plot(epochs, [record["losses"][name] for record in records], marker="o", label=name)
    left.set(xlabel="epoch", ylabel="loss, mean of the epoch", ylim=(0, None))
    left.legend(frameon=False, fontsize="small")
    measured = [record for record in records if "mask_ap" in record]
    for key, label in (("box_ap", "box AP"), ("mask_ap", "mask AP")):
        right.plot(
            [record["epoch"] for record in measured],
            [record[key] for record in measured],
            marker="o",
            label=label,
        )
    right.set(xlabel="epoch", ylabel="COCO AP 0.50:0.95, validation", ylim=(0, 100))
    right.legend(frameon=False, fontsize="small", loc="lower right")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.set_xticks(epochs)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(_HERE / "training_curve.png", dpi=110)


if __name__ == "__main__":
    main()
