"""Bundles whose manifest, files or archive are not what they were; no engine opens them.

Three ways in: the manifest alone, in a folder; whatever happens to a folder's files; archives, whose entries
lie about themselves. And a fourth, behind verification: a mutated manifest that is right about its files, run
for one frame.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from edgeblend import Bundle, Segmenter
from edgeblend.errors import BundleError, EngineError, InputError
from edgeblend.manifest import MANIFEST_NAME, decode_manifest, encode_manifest

from ..mutate_bytes import mutate_bytes
from ..mutate_text import as_json, mutate_json
from ..mutate_tree import mutate_tree
from ..samples import BUNDLES, bundle_files, frame, manifest_of, write_bundle
from .kind import Kind, expect

_NAMES = (
    *(
        ".DS_Store",
        "._detector.xml",
        "Thumbs.db",
        "desktop.ini",
        "__MACOSX/._x",
        "notes.txt",
        "../out",
        "/abs",
        "a\\b",
    ),
    *("a/b/c", "manifest.json", "MANIFEST.JSON", "C:x", "x" * 250, "é", "\udc80", "con", "a\nb", ""),
)


def _tiny() -> tuple[dict[str, bytes], dict[str, Any]]:
    """Return files of a few bytes, and their manifest."""
    contents = {name: f"content of {name}".encode() for name in bundle_files("openvino")}
    return contents, manifest_of("openvino", contents)


def check_bundle(bundle: Bundle) -> None:
    """Check that a loaded bundle's manifest says again what it said, and that its files are there."""
    data = encode_manifest(bundle.manifest)
    again = decode_manifest(data, source="again")
    expect(encode_manifest(again) == data, "the manifest is another one when it is written and read again")
    for spec in bundle.manifest.files:
        expect(bundle.file(spec).stat().st_size == spec.size, f"{spec.name} is of another size")


def _load(folder: Path) -> None:
    (path,) = folder.iterdir()
    check_bundle(Bundle.load(path))


def _write_folder(folder: Path) -> None:
    contents, manifest = _tiny()
    (folder / "bundle").mkdir()
    write_bundle(folder / "bundle", contents, json.dumps(manifest).encode())


def _make_manifest(random: Random, folder: Path) -> None:
    contents, manifest = _tiny()
    if random.random() < 0.1:  # one that was quantized says more
        manifest["quantization"] = manifest_of("tflite-int8", bundle_files("tflite-int8"))["quantization"]
    (folder / "bundle").mkdir()
    write_bundle(folder / "bundle", contents, mutate_json(manifest, random))


def _make_folder(random: Random, folder: Path) -> None:
    _write_folder(folder)
    bundle = folder / "bundle"
    for _ in range(random.choice((1, 1, 2))):
        path = random.choice(sorted(bundle.iterdir()))
        change = random.choice(("content", "remove", "folder", "link", "circle", "extra", "case"))
        if change == "content":
            if path.is_file():
                path.write_bytes(mutate_bytes(path.read_bytes(), random))
        elif change == "extra":
            name = random.choice(
                [name for name in _NAMES if name and "/" not in name and "\udc80" not in name]
            )
            (bundle / name).write_bytes(random.randbytes(3))
        elif change == "case":
            path.rename(path.with_name(path.name.upper()))
        elif not path.is_dir():
            path.unlink()
            if change == "folder":
                path.mkdir()
            elif change != "remove":
                path.symlink_to({"link": "nowhere", "circle": path.name}[change])


def _write_zip(folder: Path) -> None:
    contents, manifest = _tiny()
    entries = {**contents, MANIFEST_NAME: json.dumps(manifest).encode()}
    (folder / "bundle.zip").write_bytes(_zipped(list(entries.items())))


def _make_zip(random: Random, folder: Path) -> None:
    contents, manifest = _tiny()
    mutate_manifest = random.random() < 0.2
    text = mutate_json(manifest, random) if mutate_manifest else json.dumps(manifest).encode()
    entries = [*contents.items(), (MANIFEST_NAME, text)]
    if random.random() < 0.2:  # as most programs that zip a folder do
        entries = [(f"bundle/{name}", data) for name, data in entries]
    how = random.choice(("bytes", "bytes", "entries", "headers"))
    if how == "entries":
        _mutate_entries(entries, random)
    data = _zipped(entries, random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)))
    if how == "bytes":
        data = mutate_bytes(data, random)
    elif how == "headers":
        data = _mutate_headers(bytearray(data), random)
    (folder / "bundle.zip").write_bytes(data)


def _mutate_entries(entries: list[tuple[str, bytes]], random: Random) -> None:
    place = random.randrange(len(entries))
    name, data = entries[place]
    change = random.choice(("name", "add", "remove", "repeat", "content"))
    if change == "name":
        entries[place] = (random.choice(_NAMES), data)
    elif change == "add":
        entries.insert(place, (random.choice(_NAMES), data))
    elif change == "remove":
        del entries[place]
    elif change == "repeat":
        entries.append((name, data))
    else:
        entries[place] = (name, mutate_bytes(data, random))


def _mutate_headers(data: bytearray, random: Random) -> bytes:
    """Write numbers over fields of the archive's headers: sizes, methods, offsets, flags."""
    signatures = (b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06")
    signature = random.choice(signatures)
    starts = [place for place in range(len(data)) if data.startswith(signature, place)]
    for _ in range(random.choice((1, 1, 2))):
        place = random.choice(starts) + 4 + 2 * random.randrange(21)
        value = random.choice((0, 1, 8, 9, 12, 14, 93, 0x7FFF, 0xFFFF, random.randrange(1 << 16)))
        data[place : place + 2] = struct.pack("<H", value)
    return bytes(data)


def _zipped(entries: list[tuple[str, bytes]], method: int = zipfile.ZIP_STORED) -> bytes:
    """Return an archive of a fixed date; names are written as they are, also where that is no valid one."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in entries:
            info = zipfile.ZipInfo("x", date_time=(1980, 1, 1, 0, 0, 0))
            info.filename, info.compress_type = name.encode("utf-8", "replace").decode(), method
            if info.filename in archive.NameToInfo:  # which would warn
                del archive.NameToInfo[info.filename]
            archive.writestr(info, data)
    return file.getvalue()


def _write_run(folder: Path) -> None:
    contents = bundle_files("tflite")
    write_bundle(folder, contents, json.dumps(manifest_of("tflite", contents)).encode())


def _make_run(random: Random, folder: Path) -> None:
    """A manifest that is right about its files and wrong about what they are."""
    name = random.choice(BUNDLES)
    contents = bundle_files(name)
    manifest = manifest_of(name, contents)
    keys = ("input", "decode", "blend", "graphs", "attention", "things", "target", "stuff", "panoptic")
    described = {key: manifest[key] for key in random.sample(keys, random.choice((1, 1, 2)))}
    manifest.update(mutated if isinstance(mutated := mutate_tree(described, random), dict) else {})
    write_bundle(folder, contents, as_json(manifest, random))


def run_bundle(folder: Path) -> None:
    """Open a bundle, segment one picture, and check what comes out."""
    picture = frame()
    with Segmenter.load(folder, threads=1) as segmenter:
        found = segmenter(picture)
    height, width = picture.shape[:2]
    for name in ("boxes", "scores", "mask_probs", "mask_boxes"):
        expect(bool(np.isfinite(getattr(found, name)).all()), f"{name} are not finite")
    expect(bool((found.boxes >= 0).all()), "boxes begin outside the frame")
    expect(bool((found.boxes[:, 2:] <= (width, height)).all()), "boxes end outside the frame")
    expect(bool((found.boxes[:, :2] < found.boxes[:, 2:]).all()), "boxes have no area")
    expect(bool(((found.scores >= 0) & (found.scores <= 1)).all()), "scores are not within 0 to 1")
    expect(bool((np.diff(found.scores) <= 0).all()), "scores do not fall")
    expect(
        bool(((found.mask_probs >= 0) & (found.mask_probs <= 1)).all()), "probabilities are not within 0 to 1"
    )
    shown = found[:2]
    expect(shown.masks().shape == (len(shown), height, width), "masks are not as large as the frame")


_ALLOWED = (BundleError, EngineError, InputError)
KINDS = (
    Kind("manifest", _make_manifest, _load, (BundleError,), _write_folder, share=14),
    Kind("bundle-folder", _make_folder, _load, (BundleError,), _write_folder, share=4),
    Kind("bundle-zip", _make_zip, _load, (BundleError,), _write_zip, share=8),
    Kind("manifest-run", _make_run, run_bundle, _ALLOWED, _write_run, share=4),
)
