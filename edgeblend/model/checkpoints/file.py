"""A checkpoint's file to what lies in it. Nothing in it is executed, and what it claims is checked first."""

from __future__ import annotations

import os
import pickle
import re
import struct
import zipfile
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from edgeblend.errors import CheckpointError
from edgeblend.files.paths import exists, is_dir, is_file
from edgeblend.model.checkpoints import advice
from edgeblend.model.checkpoints.names import listed
from edgeblend.model.checkpoints.sums import altered_record

_ZIP_MAGIC, _PICKLE_MAGIC = b"PK", b"\x80"
"""How files of torch.save begin: since torch 1.6, and before."""

_LEGACY_MAGIC = b"l\xfc\x9cF\xf9 j\xa8P\x19"
"""The number that torch.save wrote first before torch 1.6."""

_OLD_PICKLES = (b"L119547037146038801333356L\n", b"(dp0\n", b"}q\0", b"ccollections\nOrderedDict\n")
"""How pickles of protocols 0 and 1 begin, which do not say their protocol: torch.save's, and dicts."""

_PROTOCOLS = (2, 3)
"""Others have instructions that torch does not read without executing what they name."""

_TELLING = 64
"""Bytes of a pickle that show its protocol."""

_LENGTHS_AT, _LENGTHS = 26, struct.Struct("<HH")
"""Where a zip entry says how long its name is, and what follows the name before its bytes."""

_TRUSTED = "If you trust where it comes from, save its weights alone, in Python: "

_GIVE_CHECKPOINT = "give the checkpoint that it was made from"

_OTHER_FILES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"version https://git-lfs", "a Git LFS pointer; run `git lfs pull`"),
    (0, b"<!doctype html", "a web page, because a download went wrong; fetch the file itself"),
    (0, b"<html", "a web page, because a download went wrong; fetch the file itself"),
    (0, b"<?xml", f"an OpenVINO graph or another XML file; {_GIVE_CHECKPOINT}"),
    (4, b"tfl3", f"a TFLite graph; {_GIVE_CHECKPOINT}"),
    (0, b"\x89hdf", "a file of Keras; a BlendMask checkpoint comes from torch"),
    (0, b"\x93numpy", "a single NumPy array; give the whole state dict"),
    (0, b"\x1f\x8b", "a gzip file; unpack it"),
    (0, b"bzh", "a bzip2 file; unpack it"),
    (0, b"\xfd7zxz", "an xz file; unpack it"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z file; unpack it"),
    (0, b"rar!", "a RAR file; unpack it"),
    (257, b"ustar", "a tar file; unpack it"),
)
"""Place and first bytes, in lower case, of what is sometimes given instead, and what it is."""

_ONNX = re.compile(rb"\x08[\x01-\x20][\x12\x1a\x22\x2a\x32\x3a\x42]")
"""A model's version of the format, and the number of the next field."""

_HEAD = 65_536


def check_file(path: Path) -> None:
    """Refuse what is no file, cannot be read, or is empty.

    Raises:
        CheckpointError: says which of these.
    """
    if is_dir(path):
        raise CheckpointError(f"{path} is a folder; expected a checkpoint file (.pth or .safetensors).")
    if not is_file(path):
        what = "is not a regular file" if exists(path) else "is not there"
        raise CheckpointError(f"There is no checkpoint {_short(path)}: it {what}; check the path.")
    if not _read_head(path):
        raise CheckpointError(f"{path} is empty (0 bytes); fetch the checkpoint again.")


def read_content(path: Path) -> object:
    """Return what ``torch.save`` or safetensors wrote.

    Raises:
        CheckpointError: the file is missing, broken, unsafe, or of another kind; says what to do.
    """
    check_file(path)
    head = _read_head(path)
    if is_safetensors(path):
        return _read_safetensors(path)
    if head.startswith(_ZIP_MAGIC):
        return _read_zip(path)
    if head.startswith((_PICKLE_MAGIC, *_OLD_PICKLES)):
        return _read_pickle(path, head)
    raise CheckpointError(_what_else(path, head))


def is_safetensors(path: Path) -> bool:
    """Return whether a file is of safetensors, whatever its name; or is called so and is nothing else."""
    head = _read_head(path)
    # The length of a header, which is less than 4 GB, and the JSON object that it is.
    if head[4:9] == b"\0\0\0\0{":
        return True
    known = head.startswith((_ZIP_MAGIC, _PICKLE_MAGIC)) or _kind(head) is not None
    return path.suffix == ".safetensors" and not known


def _read_head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_HEAD)
    except OSError as error:
        raise CheckpointError(f"Cannot read the checkpoint {path}: {error.strerror or error}.") from error


def _kind(head: bytes) -> str | None:
    lowered = head[:512].lower()
    for place, magic, what in _OTHER_FILES:
        if lowered.startswith(magic, place):
            return what
    return f"an ONNX graph; {_GIVE_CHECKPOINT}" if _ONNX.match(head) else None


def _what_else(path: Path, head: bytes) -> str:
    if head.lstrip().startswith(b"{") and b'"weight_map"' in head:
        code = advice.from_shards(path, safetensors=b".safetensors" in head)
        return f"{path} is not a checkpoint but the index of several files; join them, in Python: {code}"
    if kind := _kind(head):
        return f"{path} is not a checkpoint but {kind}."
    return f"{path} is not a checkpoint; expected a file of torch.save or .safetensors."


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        tensors: dict[str, Tensor] = safetensors.torch.load_file(path)
    except Exception as error:  # the package's own, and whatever torch says of sizes and types
        reason = _first_line(error)
        raise CheckpointError(f"{path} is no whole safetensors file ({reason}); fetch it again.") from error
    return tensors


def _read_zip(path: Path) -> object:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = {entry.filename: entry for entry in archive.infolist()}
            pickled = next((name for name in entries if name.endswith("/data.pkl")), None)
    except Exception as error:  # zipfile raises a dozen things for broken archives
        raise _broken(path, error) from error
    if pickled is None:
        raise CheckpointError(_other_archive(path, list(entries)))
    if any(name.endswith("/constants.pkl") for name in entries):
        code = advice.from_torchscript(path)
        raise CheckpointError(f"{path} is a TorchScript archive, which is a program; {_TRUSTED}{code}")
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries.values()):
        code = advice.from_compressed(path)
        raise CheckpointError(f"{path} was zipped again, with compression; save it anew, in Python: {code}")
    claimed = sum(entry.file_size for entry in entries.values())
    if claimed > path.stat().st_size:
        raise CheckpointError(f"{path} is broken: it claims to hold {claimed} bytes; fetch it again.")
    _check_sums(path)
    protocol = _protocol(_first_bytes(path, entries[pickled]))
    if protocol not in _PROTOCOLS:
        raise _other_protocol(path, protocol, of_torch=True)
    return _load(path, of_torch=True, mapped=True)


def _check_sums(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            altered = altered_record(archive)
    except Exception as error:  # zipfile raises a dozen things for broken archives
        raise _broken(path, error) from error
    if altered is not None:
        raise CheckpointError(
            f"{path} is damaged: the bytes of {listed([altered])} in it are not those that were written"
            " (CRC-32); fetch it again."
        )


def _first_bytes(path: Path, stored: zipfile.ZipInfo) -> bytes:
    """Return how an entry that is not compressed begins, whose checksum may be missing."""
    try:
        with path.open("rb") as file:
            file.seek(stored.header_offset + _LENGTHS_AT)
            file.seek(sum(_LENGTHS.unpack(file.read(_LENGTHS.size))), os.SEEK_CUR)
            return file.read(_TELLING)
    except (OSError, ValueError, struct.error) as error:  # where the file says that it is, there is nothing
        raise _broken(path, error) from error


def _protocol(head: bytes) -> int:
    """Return the protocol of a pickle; before 2 they do not say it, and 0 numbers what it repeats as text."""
    if head.startswith(_PICKLE_MAGIC) and len(head) > 1:
        return head[1]
    return 0 if b"p0\n" in head[:_TELLING] else 1


def _other_archive(path: Path, names: list[str]) -> str:
    if names and all(name.endswith(".npy") for name in names):
        return f"{path} holds NumPy arrays; make a checkpoint of them, in Python: {advice.from_arrays(path)}"
    shown = listed(names) or "nothing"
    return (
        f"{path} is not a checkpoint but a zip file (it holds {shown}); unpack it if a checkpoint is in it."
    )


def _read_pickle(path: Path, head: bytes) -> object:
    of_torch = _LEGACY_MAGIC in head[:40] or head.startswith(_OLD_PICKLES[0])
    protocol = _protocol(head)
    if protocol not in _PROTOCOLS:
        raise _other_protocol(path, protocol, of_torch=of_torch)
    return _load(path, of_torch=of_torch, mapped=False)


def _other_protocol(path: Path, protocol: int, *, of_torch: bool) -> CheckpointError:
    if of_torch and protocol == 0:
        return CheckpointError(
            f"{path} is a pickle of protocol 0, which torch itself cannot read back; save it again where it"
            " was made, without a pickle_protocol."
        )
    if of_torch:
        code = f"If you trust where it comes from, save it anew, in Python: {advice.from_protocol(path)}"
    else:
        code = f"{_TRUSTED}{advice.from_pickle(path, of_torch=False)}"
    return CheckpointError(
        f"{path} is a pickle of protocol {protocol}, which cannot be read without running code; nothing was"
        f" run. {code}"
    )


def _load(path: Path, *, of_torch: bool, mapped: bool) -> object:
    try:
        if path.suffix == ".safetensors":  # torch goes by the name, and we know better
            with path.open("rb") as file:
                return torch.load(file, map_location="cpu", weights_only=True)
        # Mapped, half a checkpoint (the optimizer's state) is never read; files before torch 1.6 cannot be.
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        raise _unpickling_error(path, str(error), of_torch=of_torch) from error
    except Exception as error:  # a broken pickle can raise anything
        if of_torch:
            raise _broken(path, error) from error
        raise _unpickling_error(path, "", of_torch=False) from error


def _unpickling_error(path: Path, message: str, *, of_torch: bool) -> CheckpointError:
    refused = re.search(r"GLOBAL ([\w.]*\w)", message)
    if refused is not None:
        what = f"wants to run code to be opened ({refused[1][:80]}); refused, nothing was run."
    elif of_torch:
        what = "is broken, or holds more and other things than tensors; nothing was run."
    else:
        what = "is broken, or a pickle of something else than torch.save; nothing was run."
    return CheckpointError(f"{path} {what} {_TRUSTED}{advice.from_pickle(path, of_torch=of_torch)}")


def _broken(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(f"{path} is cut off or broken ({_first_line(error)}); fetch it again.")


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".")[:200] if lines else type(error).__name__


def _short(path: Path) -> str:
    text = str(path)
    return text if len(text) <= 300 else f"{text[:300]}..."
