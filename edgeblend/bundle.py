"""Bundles: a folder, or one ``.zip`` of it, that holds a converted model.

Reading verifies every byte against the manifest and executes nothing. Writing is atomic: a bundle
is whole or absent.
"""

from __future__ import annotations

import hashlib
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import get_args

from edgeblend import paths
from edgeblend.choices import check_choice
from edgeblend.errors import BundleError, OutputError
from edgeblend.junk import is_junk
from edgeblend.manifest import MANIFEST_NAME, FileSpec, GraphSpec, Manifest, Part, decode_manifest
from edgeblend.staging import Found, check_not_mounted, look_at, stage_folder, staged_files, write_whole

_MANIFEST_LIMIT = 16 << 20  # bytes; a real one has some ten thousand
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified bundle. No engine has been opened.

    Attributes:
        path: the folder or ``.zip`` that was loaded.
        manifest: what it says of itself.
        folder: where its files lie: ``path`` itself, or a temporary copy of a ``.zip``'s content
            that lives as long as this object.
    """

    path: Path
    manifest: Manifest
    folder: Path
    _extracted: tempfile.TemporaryDirectory[str] | None = field(default=None, repr=False, compare=False)

    @classmethod
    def load(cls, path: str | Path) -> Bundle:
        """Read the bundle at ``path`` and verify all of its files.

        Raises:
            BundleError: nothing is there, or it is not a bundle, incomplete, altered, or of
                another schema version.
        """
        path = Path(path)
        try:
            if path.is_dir():
                return _load_folder(path)
            if path.is_file():
                return _load_zip(path)
        except OSError as error:
            raise BundleError(f"{path}: cannot be read: {error}") from error
        raise BundleError(f"{path}: no such bundle; `edgeblend convert` makes one from a checkpoint")

    def file(self, spec: FileSpec) -> Path:
        """Return where one of the manifest's files lies."""
        return self.folder / spec.name

    def graph_files(self, part: Part) -> tuple[Path, ...]:
        """Return the files of one graph; the first is the one an engine opens."""
        return tuple(self.file(spec) for spec in self.graph(part).files)

    def graph(self, part: Part) -> GraphSpec:
        """Return what the manifest says of one graph; an InputError if there is no such part."""
        check_choice("part", part, get_args(Part))
        return self.manifest.graphs[part]


def describe_file(path: Path) -> FileSpec:
    """Return the manifest's entry for a file."""
    return FileSpec(name=path.name, size=path.stat().st_size, sha256=file_sha256(path))


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_zipped_bundle(path: Path) -> bool:
    """Return whether a file is a zip archive with a manifest; checkpoints are zip archives, too."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(PurePosixPath(name).name == MANIFEST_NAME for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


@contextmanager
def stage_bundle(out: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Give an empty folder to write a bundle into; it becomes ``out`` when the block ends well.

    After an error, or an interruption, ``out`` is as it was. A name that ends in ``.zip`` gets a
    zip file (stored, not compressed: weights do not compress, and it loads faster).

    Raises:
        OutputError: ``out`` exists (or, with ``overwrite``, is something else than a bundle), cannot be
            written, or came to be while the block ran.
    """
    out = Path(out)
    found = check_output(out, overwrite=overwrite)
    if out.suffix != ".zip":
        with stage_folder(out, found) as folder:
            yield folder
        return
    with staged_files(out) as folder:
        yield folder
        write_whole(out, lambda file: _zip_folder(folder, file), found=found)


def check_output(out: Path, *, overwrite: bool) -> Found:
    """Refuse an output path before long work starts; returns what is there.

    Raises:
        OutputError: as :func:`stage_bundle`.
    """
    found = look_at(out)
    if found.state is None:
        return found
    if not overwrite:
        raise OutputError(f"{out}: already exists; choose another name, or overwrite it explicitly")
    if not (_is_empty(out) or paths.is_file(out / MANIFEST_NAME) or is_zipped_bundle(out)):
        raise OutputError(f"{out}: is not a bundle, so it is not overwritten; choose another name")
    check_not_mounted(out)
    return found


def _is_empty(path: Path) -> bool:
    try:
        return paths.is_dir(path) and all(is_junk(entry.name) for entry in path.iterdir())
    except OSError:
        return False


def _zip_folder(folder: Path, target: Path) -> None:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for file in sorted(folder.iterdir()):
            # A fixed date keeps equal bundles equal, byte for byte.
            entry = zipfile.ZipInfo(file.name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.external_attr = 0o644 << 16
            with file.open("rb") as source, archive.open(entry, "w", force_zip64=True) as sink:
                shutil.copyfileobj(source, sink, _CHUNK)


def _load_folder(path: Path) -> Bundle:
    manifest_file = path / MANIFEST_NAME
    if not manifest_file.is_file():
        raise BundleError(f"{path}: not a bundle: it has no {MANIFEST_NAME}")
    if manifest_file.stat().st_size > _MANIFEST_LIMIT:
        raise BundleError(f"{manifest_file}: not a manifest: larger than {_MANIFEST_LIMIT} bytes")
    manifest = decode_manifest(manifest_file.read_bytes(), source=str(manifest_file))
    _verify_files(path, manifest)
    return Bundle(path, manifest, path)


def _verify_files(folder: Path, manifest: Manifest) -> None:
    expected = {MANIFEST_NAME, *(spec.name for spec in manifest.files)}
    found = {entry.name for entry in folder.iterdir()}
    if missing := sorted(expected - found):
        raise BundleError(f"{folder}: incomplete bundle: missing {', '.join(missing)}")
    if extra := sorted(found - expected):
        raise BundleError(f"{folder}: files that the manifest does not list: {', '.join(extra)}")
    for spec in manifest.files:
        _verify_file(folder / spec.name, spec)


def _verify_file(file: Path, spec: FileSpec) -> None:
    if not file.is_file():
        raise BundleError(f"{file}: expected a file")
    size = file.stat().st_size
    if size != spec.size:
        raise BundleError(f"{file}: expected {spec.size} bytes, found {size}; copy or convert it again")
    digest = file_sha256(file)
    if digest != spec.sha256:
        raise BundleError(
            f"{file}: content was altered: expected SHA-256 {spec.sha256}, found {digest}; "
            "copy or convert it again"
        )


def _load_zip(path: Path) -> Bundle:
    if not zipfile.is_zipfile(path):
        raise BundleError(f"{path}: not a bundle: neither a folder nor a complete .zip")
    extracted = tempfile.TemporaryDirectory(prefix="edgeblend-")
    try:
        manifest = _extract_zip(path, Path(extracted.name))
    except BaseException:
        extracted.cleanup()
        raise
    return Bundle(path, manifest, Path(extracted.name), extracted)


def _extract_zip(path: Path, folder: Path) -> Manifest:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = _checked_entries(archive, path)
            manifest_bytes = _read_entry(archive, entries[MANIFEST_NAME], _MANIFEST_LIMIT)
            manifest = decode_manifest(manifest_bytes, source=f"{path}:{MANIFEST_NAME}")
            (folder / MANIFEST_NAME).write_bytes(manifest_bytes)
            _extract_files(archive, entries, manifest, path, folder)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
        raise BundleError(f"{path}: broken or encrypted .zip: {error}") from error
    return manifest


def _checked_entries(archive: zipfile.ZipFile, path: Path) -> dict[str, zipfile.ZipInfo]:
    """Return the entries by file name; one folder around all of them is allowed."""
    entries: dict[str, zipfile.ZipInfo] = {}
    parents: set[PurePosixPath] = set()
    for info in archive.infolist():
        name = PurePosixPath(info.filename.replace("\\", "/"))
        if name.is_absolute() or ".." in name.parts or ":" in info.filename or len(name.parts) > 2:
            raise BundleError(f"{path}: refused: entry {info.filename!r} points outside the bundle")
        if stat.S_ISLNK(info.external_attr >> 16):
            raise BundleError(f"{path}: refused: entry {info.filename!r} is a link")
        if info.is_dir():
            continue
        if name.name in entries:
            raise BundleError(f"{path}: refused: entry {name.name!r} occurs twice")
        entries[name.name] = info
        parents.add(name.parent)
    if MANIFEST_NAME not in entries or len(parents) != 1:
        raise BundleError(f"{path}: not a bundle: no {MANIFEST_NAME} beside its files")
    return entries


def _extract_files(
    archive: zipfile.ZipFile,
    entries: dict[str, zipfile.ZipInfo],
    manifest: Manifest,
    path: Path,
    folder: Path,
) -> None:
    expected = {MANIFEST_NAME, *(spec.name for spec in manifest.files)}
    if missing := sorted(expected - set(entries)):
        raise BundleError(f"{path}: incomplete bundle: missing {', '.join(missing)}")
    if extra := sorted(set(entries) - expected):
        raise BundleError(f"{path}: files that the manifest does not list: {', '.join(extra)}")
    for spec in manifest.files:
        if entries[spec.name].file_size != spec.size:  # before unpacking: a zip bomb ends here
            raise BundleError(
                f"{path}:{spec.name}: expected {spec.size} bytes, found {entries[spec.name].file_size}"
            )
        _extract_entry(archive, entries[spec.name], folder / spec.name, spec, path)


def _extract_entry(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path, spec: FileSpec, path: Path
) -> None:
    sha256 = hashlib.sha256()
    with archive.open(info) as source, target.open("wb") as sink:
        while chunk := source.read(_CHUNK):
            sha256.update(chunk)
            sink.write(chunk)
    if sha256.hexdigest() != spec.sha256:
        raise BundleError(
            f"{path}:{spec.name}: content was altered: expected SHA-256 {spec.sha256}, "
            f"found {sha256.hexdigest()}; copy or convert it again"
        )


def _read_entry(archive: zipfile.ZipFile, info: zipfile.ZipInfo, limit: int) -> bytes:
    if info.file_size > limit:
        raise BundleError(f"{archive.filename}:{info.filename}: larger than {limit} bytes")
    with archive.open(info) as source:
        return source.read(limit)
