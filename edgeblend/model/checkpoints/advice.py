"""What to do with files that hold weights in another form: a line of Python for each.

Every line writes ``weights.pth``, which :func:`edgeblend.model.checkpoints.read.read_checkpoint` reads.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

_SAVE = "torch.save({{'model': {}}}, 'weights.pth')"


def from_pickle(path: Path, *, of_torch: bool) -> str:
    """Return what keeps the weights of a file that holds other objects: modules, arrays, settings."""
    if of_torch:
        read = f"import torch; c = torch.load({_name(path)}, map_location='cpu', weights_only=False)"
    else:
        read = f"import pickle, torch; c = pickle.load(open({_name(path)}, 'rb'), encoding='latin1')"
    state = "{k: torch.as_tensor(v) for k, v in s.items() if hasattr(v, 'shape')}"
    return (
        f"{read}; s = next((c[k] for k in ('model', 'state_dict') if isinstance(c, dict) and k in c), c);"
        f" s = s.state_dict() if hasattr(s, 'state_dict') else s; {_SAVE.format(state)}"
    )


def from_protocol(path: Path) -> str:
    """Return what writes a file of ``torch.save`` anew, in the pickle protocol that it has by default."""
    content = f"torch.load({_name(path)}, map_location='cpu', weights_only=False)"
    return f"import torch; torch.save({content}, 'weights.pth')"


def from_torchscript(path: Path) -> str:
    """Return what takes the weights out of a TorchScript archive."""
    return "import torch; " + _SAVE.format(f"torch.jit.load({_name(path)}, map_location='cpu').state_dict()")


def from_compressed(path: Path) -> str:
    """Return what rewrites a checkpoint that was zipped once more, with compression."""
    content = f"torch.load({_name(path)}, map_location='cpu', weights_only=True)"
    return f"import torch; torch.save({content}, 'weights.pth')"


def from_arrays(path: Path) -> str:
    """Return what makes a checkpoint of an ``.npz``."""
    state = f"{{k: torch.as_tensor(v) for k, v in numpy.load({_name(path)}).items()}}"
    return f"import numpy, torch; {_SAVE.format(state)}"


def from_shards(path: Path, *, safetensors: bool) -> str:
    """Return what joins the files that an index names."""
    load = "load_file(p.parent / f)" if safetensors else "torch.load(p.parent / f, weights_only=True)"
    also = "; from safetensors.torch import load_file" if safetensors else ""
    return (
        f"import json, pathlib, torch{also}; p = pathlib.Path({_name(path)});"
        " files = set(json.loads(p.read_text())['weight_map'].values()); "
        + _SAVE.format(f"{{k: v for f in files for k, v in {load}.items()}}")
    )


def from_section(path: Path, keys: Iterable[object]) -> str:
    """Return what keeps one of several sets of weights in a file of ``torch.save``."""
    inner = "".join(f"[{key!r}]" for key in keys)
    return "import torch; " + _SAVE.format(
        f"torch.load({_name(path)}, map_location='cpu', weights_only=True){inner}"
    )


def from_prefix(path: Path, prefix: str, keys: Iterable[object], *, safetensors: bool) -> str:
    """Return what keeps the names that begin with a prefix, without it."""
    if safetensors:
        read = f"import torch; from safetensors.torch import load_file; s = load_file({_name(path)})"
    else:
        inner = "".join(f"[{key!r}]" for key in keys)
        read = f"import torch; s = torch.load({_name(path)}, map_location='cpu', weights_only=True){inner}"
    state = "{k[len(p):]: v for k, v in s.items() if k.startswith(p)}"
    return f"{read}; p = {prefix!r}; {_SAVE.format(state)}"


def _name(path: Path) -> str:
    return repr(str(path))
