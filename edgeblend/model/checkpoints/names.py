"""Which of a file's contents are the network's weights, and under which names."""

from __future__ import annotations

import re
import reprlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from edgeblend.errors import CheckpointError
from edgeblend.model.checkpoints import advice

ROOTS = frozenset(
    ("backbone", "proposal_generator", "basis_module", "top_layer", "panoptic_module")
    + ("pixel_mean", "pixel_std")
)
"""How names begin in a BlendMask."""

_WHOLE = {"backbone", "proposal_generator", "basis_module", "top_layer"}
"""What every BlendMask has."""

WRAPPERS = ("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
"""Parts of names that torch's wrappers add: parallel, compiled, sharded, recomputed; wherever they are."""

_COUNTERS = ("num_batches_tracked", "n_averaged")

_SECTIONS = ("model", "state_dict")
"""Where weights lie in a file, the likelier first."""

_AVERAGED = re.compile(r"(^|[._])(ema|swa|averaged?|shadow)([._]|$)|teacher", re.IGNORECASE)

_short = reprlib.Repr()
_short.maxlevel, _short.maxstring, _short.maxother = 1, 60, 40


@dataclass(frozen=True, slots=True)
class Section:
    """The part of a file that is taken for the network's weights."""

    state: Mapping[Any, Any]
    keys: tuple[Any, ...]
    """Where it lies in the file; empty: it is the file."""
    notes: tuple[str, ...] = ()


def choose_section(content: object, path: Path) -> Section:
    """Return the state dict of a file: bare, under "model" or "state_dict", or the only one that there is.

    Raises:
        CheckpointError: there is none, or it is not clear which.
    """
    if not isinstance(content, dict):
        raise CheckpointError(
            f"{path} holds a {type(content).__name__}; expected a state dict, bare or under 'model'."
        )
    key = next((key for key in _SECTIONS if isinstance(content.get(key), dict)), None)
    if key is None and not _has_tensors(content):
        candidates = [key for key, value in content.items() if _has_tensors(value)]
        if len(candidates) > 1:
            code = advice.from_section(path, candidates[:1])
            shown = ", ".join(map(_shown, candidates[:5]))
            raise CheckpointError(f"{path} holds weights under {shown}; keep one, in Python: {code}")
        key = candidates[0] if candidates else None
    section = Section(content, ()) if key is None else Section(content[key], (key,))
    if not _has_tensors(section.state):
        raise CheckpointError(_no_tensors(section.state, path))
    notes = [f"the weights are read from {_shown(key)}"] if key is not None and key not in _SECTIONS else []
    return Section(section.state, section.keys, (*notes, *_unused(content, section, path)))


def _has_tensors(value: object) -> bool:
    return isinstance(value, dict) and any(isinstance(item, Tensor) for item in value.values())


def _no_tensors(state: Mapping[Any, Any], path: Path) -> str:
    keys = ", ".join(map(_shown, list(state)[:10])) or "none"
    if "param_groups" in state or "optimizer" in state:
        next_step = "this is an optimizer's state; give the file that has the model's weights"
    else:
        next_step = "expected a state dict, bare or under 'model'"
    return f"{path} holds no tensors (its keys: {keys}); {next_step}."


def _shown(key: object) -> str:
    return " ".join(_short.repr(key).split())


def _unused(content: Mapping[Any, Any], section: Section, path: Path) -> list[str]:
    """What else in the file may be weights, such as an average of them."""
    if not section.keys:
        return []
    others = [
        key
        for key, value in content.items()
        if key not in section.keys
        and isinstance(key, str)
        and isinstance(value, dict | list)
        and (_has_tensors(value) or _AVERAGED.search(key))
    ]
    return [_unused_note(key, content[key], path) for key in others[:3]]


def _unused_note(key: str, value: object, path: Path) -> str:
    note = f"the file also holds weights under {_shown(key)}, which are not used"
    if _has_tensors(value):
        return f"{note}; to use them, in Python: {advice.from_section(path, (key,))}"
    inner = value.items() if isinstance(value, dict) else ()
    found = next((name for name, part in inner if _has_tensors(part)), None)
    return f"{note}; to use them, in Python: {advice.from_section(path, (key, found))}" if found else note


@dataclass(frozen=True, slots=True)
class Names:
    """A checkpoint's names as the network has them."""

    canonical: Mapping[str, str]
    """From the name in the file; counters are left out."""
    notes: tuple[str, ...] = ()


def canonical_names(section: Section, path: Path, *, safetensors: bool) -> Names:
    """Take off what wrappers added, and a prefix that all names have before their root.

    Raises:
        CheckpointError: whole networks lie under different prefixes, such as a teacher and a student.
    """
    odd = [name for name in section.state if not isinstance(name, str)]
    if odd:
        raise CheckpointError(f"{path} has a {type(odd[0]).__name__} where the name of a tensor is expected.")
    raw = [name for name in section.state if not name.endswith(_COUNTERS)]
    clean = {name: _without_wrappers(name) for name in raw}
    prefixes = {name: _prefix(text) for name, text in clean.items()}
    _check_one_network(clean, prefixes, section, path, safetensors=safetensors)
    only = set(prefixes.values())
    prefix = (only.pop() or "") if len(only) == 1 else ""
    removed = [part for part in WRAPPERS if any(part in name.split(".") for name in raw)]
    notes = [f"names are read without {', '.join(f'{part!r}' for part in removed)}"] if removed else []
    if prefix:
        notes.append(f"names are read without their common prefix {prefix!r}")
    return Names({name: text.removeprefix(prefix) for name, text in clean.items()}, tuple(notes))


def _without_wrappers(name: str) -> str:
    parts = [part for part in name.split(".") if part not in WRAPPERS]
    return ".".join("ctrness" if part == "centerness" else part for part in parts) or name


def _prefix(name: str) -> str | None:
    """What stands before a name's root, such as ``model.``; None without a root."""
    parts = name.split(".")
    place = next((place for place, part in enumerate(parts) if part in ROOTS), None)
    return None if place is None else "".join(f"{part}." for part in parts[:place])


def _check_one_network(
    clean: Mapping[str, str],
    prefixes: Mapping[str, str | None],
    section: Section,
    path: Path,
    *,
    safetensors: bool,
) -> None:
    counts = Counter(prefixes.values())
    roots: dict[str, set[str]] = {}
    for name, prefix in prefixes.items():
        if prefix is not None:
            roots.setdefault(prefix, set()).add(clean[name].removeprefix(prefix).partition(".")[0])
    whole = [prefix for prefix, found in roots.items() if found >= _WHOLE]
    prefixed = [prefix for prefix in whole if prefix]
    if len(counts) == 1 or not prefixed:
        return
    chosen = next((prefix for prefix in prefixed if _AVERAGED.search(prefix)), prefixed[0])
    sample = next(name for name, prefix in prefixes.items() if prefix == chosen)
    code = advice.from_prefix(path, _prefix(sample) or "", section.keys, safetensors=safetensors)
    shown = " and ".join(repr(prefix) if prefix else "no prefix" for prefix in sorted(whole)[:4])
    strays = len(clean) - sum(counts[prefix] for prefix in whole)
    beside = f" beside {strays} other tensors" if strays else ""
    raise CheckpointError(
        f"{path} holds {'networks' if len(whole) > 1 else 'a network'} under {shown}{beside};"
        f" choose one by its prefix p, in Python: {code}"
    )


def listed(names: Iterable[object], most: int = 3) -> str:
    """Return a few names, each cut to a readable length, and how many more there are."""
    every = [str(name) for name in names]
    shown = ", ".join(name if len(name) <= 80 else f"{name[:77]}..." for name in every[:most])
    # Names come from a file: what would break the line is written as an escape.
    shown = shown.encode("unicode_escape").decode() if not shown.isprintable() else shown
    return shown + (f" and {len(every) - most} more" if len(every) > most else "")
