import errno
import os
import subprocess
import sys
import tempfile

import numpy as np
import pytest

from edgeblend.draw.video import (
    CODECS,
    Codec,
    VideoFile,
    _matroska_to_webm,
    find_codec,
    write_video,
)
from edgeblend.errors import InputError, OutputError

SIZE = (64, 48)
NOT_THERE = Codec("nothing", "zzzz", ".mp4", in_browsers=True)
CANNOT_FILL = Codec("wrong container", "VP80", ".txt", in_browsers=True)


def grey_frames(*levels):
    return [np.full((SIZE[1], SIZE[0], 3), level, np.uint8) for level in levels]


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.name)
def test_frames_come_back(tmp_path, codec):
    levels = [40, 80, 120, 160, 200]
    video = write_video(tmp_path / "video", grey_frames(*levels), size=SIZE, rate=10.0, codecs=[codec])
    assert video.path == tmp_path / f"video{codec.suffix}"
    assert (video.codec, video.frames, video.rate) == (codec, 5, 10.0)
    read = VideoFile(video.path)
    assert (read.size, read.rate, read.count) == (SIZE, 10.0, 5)
    for _ in range(2):  # it can be read again
        assert [round(float(frame.mean()), -1) for frame in read] == pytest.approx(levels, abs=10)


def test_webm_says_that_it_is_and_no_matroska_is_left(tmp_path):
    video = write_video(tmp_path / "video", grey_frames(10, 200), size=SIZE, rate=10.0, codecs=CODECS[:1])
    head = video.path.read_bytes()[:64]
    assert head[:4] == b"\x1a\x45\xdf\xa3"  # EBML
    assert b"\x42\x82\x84webm\xec\x82\x00\x00" in head
    assert b"matroska" not in head
    assert list(tmp_path.iterdir()) == [video.path]


def test_stderr_of_the_process_is_let_alone(tmp_path, monkeypatch):
    """Other threads write there, and it may be closed."""

    def forbidden(*given):
        raise AssertionError("a file descriptor is switched for the whole process")

    with monkeypatch.context() as patch:
        for name in ("dup", "dup2"):
            patch.setattr(os, name, forbidden)
        write_video(tmp_path / "video", grey_frames(10), size=SIZE, rate=10.0)


def test_a_head_that_is_not_known_is_left(tmp_path, monkeypatch):
    path = tmp_path / "video.mkv"
    path.write_bytes(b"something else")
    assert not _matroska_to_webm(path)
    assert path.read_bytes() == b"something else"
    monkeypatch.setattr("edgeblend.draw.video._matroska_to_webm", lambda path: False)
    assert find_codec(SIZE) == CODECS[1]


def test_no_temporary_folder(monkeypatch):
    def none(**options):
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(tempfile, "mkdtemp", none)
    with pytest.raises(OutputError, match=r"no temporary folder .*\['/tmp'\]\); set TMPDIR"):
        find_codec(SIZE)


def test_nothing_is_said(tmp_path, capfd):
    write_video(tmp_path / "video", grey_frames(10), size=SIZE, rate=10.0)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("missing", [NOT_THERE, CANNOT_FILL])
def test_the_first_codec_that_works_is_taken(missing):
    assert find_codec(SIZE, [missing, *CODECS[1:]]) == CODECS[1]


def test_no_codec_at_all(tmp_path):
    with pytest.raises(OutputError, match="writes none of nothing; install opencv-python-headless"):
        write_video(tmp_path / "video", grey_frames(1), size=SIZE, rate=10.0, codecs=[NOT_THERE])
    assert list(tmp_path.iterdir()) == []


WRITE_LIMITED = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from edgeblend.draw import video as annotated_video
from edgeblend.errors import OutputError

codec = next(codec for codec in annotated_video.CODECS if codec.name == sys.argv[1])
noise = np.random.default_rng(0).integers(0, 256, (40, 96, 128, 3), np.uint8)
annotated_video.find_codec = lambda size, codecs: codec
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    made = annotated_video.write_video(Path("video"), iter(noise), size=(128, 96), rate=10.0)
    print("made", made.frames)
except OutputError as error:
    print("refused", error)
"""


@pytest.mark.skipif(os.name != "posix", reason="limits of files are POSIX's")
@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.name)
@pytest.mark.parametrize("limit", [0, 100, 20_000, 100_000])
def test_a_disk_that_is_full_is_told_and_nothing_is_left(tmp_path, codec, limit):
    argv = [sys.executable, "-c", WRITE_LIMITED, codec.name, str(limit)]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True)
    assert "refused" in done.stdout
    assert f"video{codec.suffix}: cannot be written: File too large; make room" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.name)
def test_nothing_is_left_of_a_video_whose_frames_do_not_come(tmp_path, codec):
    def frames():
        yield from grey_frames(10, 20)
        raise InputError("the camera was unplugged")

    with pytest.raises(InputError, match="unplugged"):
        write_video(tmp_path / "video", frames(), size=SIZE, rate=10.0, codecs=[codec])
    assert list(tmp_path.iterdir()) == []


def test_a_temporary_folder_that_is_full_is_not_a_missing_codec(monkeypatch):
    monkeypatch.setattr("edgeblend.draw.video._write", lambda *given: 0)

    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    monkeypatch.setattr("edgeblend.draw.video._try_to_write", lambda folder: full)
    with pytest.raises(OutputError, match="this temporary folder .No space left on device.; make room"):
        find_codec(SIZE)


@pytest.mark.parametrize("data", [None, b"", b"no video at all"])
def test_what_is_no_video(tmp_path, data):
    path = tmp_path / "video.mp4"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(InputError, match=r"video\.mp4: OpenCV .* reads no frame"):
        VideoFile(path)
