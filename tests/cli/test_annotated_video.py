import numpy as np
import pytest

from edgeblend.cli.annotated_video import CODECS, Codec, VideoFile, find_codec, write_video
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


@pytest.mark.parametrize("data", [None, b"", b"no video at all"])
def test_what_is_no_video(tmp_path, data):
    path = tmp_path / "video.mp4"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(InputError, match=r"video\.mp4: OpenCV .* reads no frame"):
        VideoFile(path)
