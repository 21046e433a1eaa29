"""Bundles: a folder, or one ``.zip`` of it, that holds a converted model.

Reading verifies every byte against the manifest and executes nothing. Writing is atomic: a bundle
is whole or absent.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

from edgeblend.arguments.checks import check_flag, check_kind, check_path
from edgeblend.arguments.choices import check_choice
from edgeblend.errors import BundleError, OutputError
from edgeblend.files import paths
from edgeblend.files.junk import is_junk
from edgeblend.files.staging import Found, check_not_mounted, look_at, stage_folder, staged_files, write_whole
from edgeblend.files.temporary import TemporaryFolder
from edgeblend.manifest import MANIFEST_NAME, FileSpec, GraphSpec, Manifest, Part, decode_manifest
from edgeblend.manifest_checks import check_listing
from edgeblend.zipped import MANIFEST_LIMIT, extract_bundle, is_zipped_bundle, zip_folder


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
    _extracted: TemporaryFolder | None = field(default=None, repr=False, compare=False)

    @classmethod
    def load(cls, path: str | Path) -> Bundle:
        """Read the bundle at ``path`` and verify all of its files.

        Raises:
            InputError: it is no path.
            BundleError: nothing is there, or it is not a bundle, incomplete, altered, or of
                another schema version.

        Example:
            >>> bundle = edgeblend.Bundle.load("bundle")
            >>> bundle.manifest.target, bundle.graph("detector").precision
            ('openvino', 'fp32')
            >>> [file.name for file in bundle.graph_files("basis")]
            ['basis.xml', 'basis.bin']
        """
        path = check_path("bundle", path)
        try:
            if paths.is_dir(path):
                return _load_folder(path)
            if paths.is_file(path):
                return _load_zip(path)
        except OSError as error:
            raise BundleError(f"{path}: cannot be read: {error}") from error
        raise BundleError(f"{path}: no such bundle; `edgeblend convert` makes one from a checkpoint")

    def file(self, spec: FileSpec) -> Path:
        """Return where one of the manifest's files lies."""
        check_kind("spec", spec, FileSpec, "a file of the manifest")
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


@contextmanager
def stage_bundle(out: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Give an empty folder to write a bundle into; it becomes ``out`` when the block ends well.

    After an error, or an interruption, ``out`` is as it was. A name that ends in ``.zip`` gets a
    zip file (stored, not compressed: weights do not compress, and it loads faster).

    Raises:
        OutputError: ``out`` exists (or, with ``overwrite``, is something else than a bundle), cannot be
            written, or came to be while the block ran.
    """
    out = check_path("out", out)
    found = check_output(out, overwrite=overwrite)
    if out.suffix != ".zip":
        with stage_folder(out, found) as folder:
            yield folder
        return
    with staged_files(out) as folder:
        yield folder
        write_whole(out, lambda file: zip_folder(folder, file), found=found)


def check_output(out: Path, *, overwrite: bool) -> Found:
    """Refuse an output path before long work starts; returns what is there.

    Raises:
        OutputError: as :func:`stage_bundle`.
    """
    check_flag("overwrite", overwrite)
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


def _load_folder(path: Path) -> Bundle:
    manifest_file = path / MANIFEST_NAME
    if not paths.is_file(manifest_file):
        raise BundleError(f"{path}: not a bundle: it has no {MANIFEST_NAME}{_deeper(path)}")
    if manifest_file.stat().st_size > MANIFEST_LIMIT:
        raise BundleError(f"{manifest_file}: not a manifest: larger than {MANIFEST_LIMIT} bytes")
    manifest = decode_manifest(manifest_file.read_bytes(), source=str(manifest_file))
    _verify_files(path, manifest)
    return Bundle(path, manifest, path)


def _deeper(path: Path) -> str:
    """Return a hint where the bundle is, if it lies one folder deeper."""
    inner = next((entry for entry in sorted(path.iterdir()) if paths.is_file(entry / MANIFEST_NAME)), None)
    return f"; {inner} is one" if inner else ""


def _verify_files(folder: Path, manifest: Manifest) -> None:
    found = {entry.name + ("/" if paths.is_dir(entry) else "") for entry in folder.iterdir()}
    check_listing(str(folder), manifest, found)
    for spec in manifest.files:
        _verify_file(folder / spec.name, spec)


def _verify_file(file: Path, spec: FileSpec) -> None:
    if not paths.is_file(file):
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
    with path.open("rb") as file:  # is_zipfile says no of what it cannot open
        zipped = zipfile.is_zipfile(file)
    if not zipped:
        raise BundleError(f"{path}: not a bundle: neither a folder nor a complete .zip; copy it again")
    extracted = _temporary_folder(path)
    try:
        manifest = extract_bundle(path, Path(extracted.name))
    except BaseException:
        extracted.cleanup()
        raise
    return Bundle(path, manifest, Path(extracted.name), extracted)


def _temporary_folder(path: Path) -> TemporaryFolder:
    try:
        return TemporaryFolder()
    except OSError as error:
        raise OutputError(
            f"{path}: there is no temporary folder to unpack it into ({error.strerror}); set TMPDIR to one "
            "that can be written, or unpack it yourself"
        ) from error
