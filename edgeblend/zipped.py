"""Bundles as one ``.zip``: written as equal bytes for equal bundles, read without trusting anything in it."""

from __future__ import annotations

import errno
import hashlib
import lzma
import os
import shutil
import stat
import struct
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from edgeblend.errors import BundleError, OutputError
from edgeblend.files.junk import is_junk_path, listed_names
from edgeblend.manifest import MANIFEST_NAME, FileSpec, Manifest, decode_manifest
from edgeblend.manifest_checks import check_listing

MANIFEST_LIMIT = 16 << 20
"""Bytes; a real manifest has some ten thousand."""

_CHUNK = 1 << 20

_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    ValueError,
)
"""What reading an archive raises that is broken, encrypted, or packed in a way that Python does not know."""


def is_zipped_bundle(path: Path) -> bool:
    """Return whether a file is a zip archive with a manifest; checkpoints are zip archives, too."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(PurePosixPath(name).name == MANIFEST_NAME for name in archive.namelist())
    except (OSError, *_BROKEN):
        return False


def zip_folder(folder: Path, target: Path) -> None:
    """Write the files of a folder as a zip archive, stored as they are, with the modes of new files."""
    mode = stat.S_IMODE(folder.stat().st_mode) & 0o666  # what the umask leaves of a new file's
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for file in sorted(folder.iterdir()):
            # A fixed date keeps equal bundles equal, byte for byte.
            entry = zipfile.ZipInfo(file.name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.external_attr = mode << 16
            with file.open("rb") as source, archive.open(entry, "w", force_zip64=True) as sink:
                shutil.copyfileobj(source, sink, _CHUNK)


def extract_bundle(path: Path, folder: Path) -> Manifest:
    """Unpack the files that a zipped bundle's manifest lists, verified, into a folder.

    Raises:
        BundleError: it is not a bundle, or broken, altered or unsafe.
        OutputError: the folder's disk is full.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = _checked_entries(archive, path)
            manifest_bytes = _read_entry(archive, entries[MANIFEST_NAME], MANIFEST_LIMIT)
            manifest = decode_manifest(manifest_bytes, source=f"{path}:{MANIFEST_NAME}")
            (folder / MANIFEST_NAME).write_bytes(manifest_bytes)
            _extract_files(archive, entries, manifest, path, folder)
    except _BROKEN as error:
        raise BundleError(f"{path}: broken or encrypted .zip: {error}; copy it again") from error
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise OutputError(
            f"{path}: cannot be unpacked into {folder}: {os.strerror(error.errno)}; make room, set TMPDIR to "
            "a folder with more, or unpack it yourself"
        ) from error
    return manifest


def _checked_entries(archive: zipfile.ZipFile, path: Path) -> dict[str, zipfile.ZipInfo]:
    """Return the entries by name within the bundle; one folder around all of them is allowed."""
    files: dict[PurePosixPath, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        if not info.filename:  # of which Python 3.11 cannot say whether it is a folder
            raise BundleError(f"{path}: refused: an entry has no name")
        name = PurePosixPath(info.filename.replace("\\", "/"))
        if name.is_absolute() or ".." in name.parts:
            raise BundleError(f"{path}: refused: entry {info.filename!r} points outside the bundle")
        if info.is_dir() or is_junk_path(name.parts):
            continue
        if ":" in info.filename:
            raise BundleError(f"{path}: refused: entry {info.filename!r} points outside the bundle")
        if stat.S_ISLNK(info.external_attr >> 16):
            raise BundleError(f"{path}: refused: entry {info.filename!r} is a link")
        if name in files:
            raise BundleError(f"{path}: refused: entry {info.filename!r} occurs twice")
        files[name] = info
    root = _bundle_folder(list(files), path)
    return {
        (name.relative_to(root) if name.is_relative_to(root) else name).as_posix(): info
        for name, info in files.items()
    }


def _bundle_folder(names: list[PurePosixPath], path: Path) -> PurePosixPath:
    """Return the folder that the manifest lies in: the archive itself, or one folder around all."""
    folders = [name.parent for name in names if name.name == MANIFEST_NAME]
    if not folders:
        raise BundleError(f"{path}: not a bundle: it has no {MANIFEST_NAME}")
    if len(folders) > 1:
        shown = listed_names(str(folder) for folder in folders)
        raise BundleError(f"{path}: holds more than one bundle ({shown}); unpack it and name one of them")
    if len(folders[0].parts) > 1:
        where = listed_names([str(folders[0])])
        raise BundleError(f"{path}: the bundle lies too deep in it, in {where}; pack that folder itself")
    return folders[0]


def _extract_files(
    archive: zipfile.ZipFile,
    entries: dict[str, zipfile.ZipInfo],
    manifest: Manifest,
    path: Path,
    folder: Path,
) -> None:
    check_listing(str(path), manifest, set(entries))
    for spec in manifest.files:
        if entries[spec.name].file_size != spec.size:  # before unpacking: a zip bomb ends here
            raise BundleError(
                f"{path}:{spec.name}: expected {spec.size} bytes, found {entries[spec.name].file_size}; "
                "copy or convert it again"
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
