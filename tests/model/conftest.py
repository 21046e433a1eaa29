"""Networks with stand-in weights; each is built once, and tests must not change it."""

from collections.abc import Callable
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch
from synthetic_weights import digest, load_shapes, synthetic_state_dict

from edgeblend.model.blendmask import BlendMask, build_network
from edgeblend.model.config import load_config

DATA = Path(__file__).parents[1] / "data"


def _file_name(config: str) -> str:
    return config.replace("/", "_")


@pytest.fixture(scope="session")
def published_shapes() -> Callable[[str], dict[str, tuple[int, ...]]]:
    """What inference needs of a published state dict: the counters of batch norms and the training-only
    semantic head are not part of the network."""

    def shapes(config: str) -> dict[str, tuple[int, ...]]:
        every = load_shapes(DATA / "state_dict" / f"{_file_name(config)}.json")
        return {
            name: tuple(shape)
            for name, shape in every.items()
            if not name.endswith("num_batches_tracked") and not name.startswith("basis_module.seg_head.")
        }

    return shapes


@pytest.fixture(scope="session")
def golden() -> Callable[[str], dict[str, np.ndarray]]:
    def load(config: str) -> dict[str, np.ndarray]:
        with np.load(DATA / "golden" / f"{_file_name(config)}.npz") as arrays:
            return dict(arrays)

    return load


@pytest.fixture(scope="session")
def golden_state(golden) -> Callable[[str], dict[str, torch.Tensor]]:
    """The checkpoint a golden file was computed with, as it would lie in a file."""

    @lru_cache(maxsize=1)  # up to 200 MB each
    def state(config: str) -> dict[str, torch.Tensor]:
        expected = golden(config)
        shapes = load_shapes(DATA / "state_dict" / f"{_file_name(config)}.json")
        arrays = synthetic_state_dict(shapes, int(expected["seed"]))
        assert digest(arrays) == bytes(expected["weights_sha256"]).decode()
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    return state


@pytest.fixture(scope="session")
def golden_network(golden_state) -> Callable[[str], BlendMask]:
    from edgeblend.model.checkpoints.read import load_weights

    @cache
    def network(config: str) -> BlendMask:
        built = build_network(load_config(config))
        load_weights(built, golden_state(config), source="synthetic weights")
        return built.requires_grad_(False)

    return network
