import hashlib
import json
import struct

import cv2
import numpy as np
import pytest

from edgeblend.calibration.data.coco import read_coco
from edgeblend.calibration.data.frames import Frame, Unreadable, open_frames
from edgeblend.calibration.sampling.sample import sample_frames
from edgeblend.errors import InputError


def plain(level, height=6, width=8):
    return np.full((height, width, 3), level, np.uint8)


def write_pictures(folder, levels):
    """Write 000.png, 001.png, ..., each of one level."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, level in enumerate(levels):
        assert cv2.imwrite(str(folder / f"{index:03}.png"), plain(level))
    return folder


def write_video(path, levels, *, codec="MJPG", height=48, width=64):
    """Write frames of one level each."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), 25, (width, height))
    for level in levels:
        writer.write(plain(level, height, width))
    writer.release()
    return path


def write_coco(path, files):
    document = {
        "images": [
            {"id": 9 - index, "file_name": file, "width": 8, "height": 6} for index, file in enumerate(files)
        ],
        "annotations": [
            {"id": 1, "image_id": 9, "category_id": 4, "bbox": [1, 1, 4, 3], "area": 12, "iscrowd": 0}
            | {"segmentation": [[1, 1, 5, 1, 5, 4, 1, 4]]}
        ],
        "categories": [{"id": 4, "name": "anything"}],
    }
    path.write_text(json.dumps(document))
    return path


def seen(source, chosen=None, **options):
    """Return (index, name, mean level) of the frames."""
    return [
        (frame.index, frame.name, round(float(frame.picture.mean())))
        for frame in open_frames(source, **options).read(chosen)
    ]


def test_a_folder(tmp_path):
    folder = write_pictures(tmp_path / "pictures", [10, 20, 30])
    assert seen(folder) == [(0, "000.png", 10), (1, "001.png", 20), (2, "002.png", 30)]
    assert seen(str(folder), {2, 0}) == [(0, "000.png", 10), (2, "002.png", 30)]
    assert open_frames(folder).description == f"the 3 pictures of {folder}"


def test_a_glob_and_a_picture(tmp_path):
    folder = write_pictures(tmp_path / "pictures", [10, 20, 30])
    assert seen(folder / "00[12].png") == [(0, "001.png", 20), (1, "002.png", 30)]
    assert seen(folder / "001.png") == [(0, "001.png", 20)]
    assert open_frames(folder / "001.png").description == f"the picture {folder / '001.png'}"


def test_files_called_alike_are_told_apart_by_their_paths(tmp_path):
    for part in ("a", "b"):
        write_pictures(tmp_path / part, [10])
    cv2.imwrite(str(tmp_path / "b" / "other.png"), plain(30))
    paths = [(tmp_path / part / "000.png").as_posix() for part in ("a", "b")]
    assert [name for _, name, _ in seen(tmp_path / "**")] == [*paths, "other.png"]


def test_a_picture_that_cannot_be_read_is_reported_in_its_place(tmp_path):
    folder = write_pictures(tmp_path / "pictures", [10, 20, 30])
    whole = (folder / "001.png").read_bytes()
    (folder / "001.png").write_bytes(whole[: len(whole) // 2])
    first, broken, last = open_frames(folder).read()
    assert (first.index, last.index) == (0, 2)
    assert isinstance(broken, Unreadable) and (broken.index, broken.name) == (1, "001.png")
    assert broken.reason.startswith("the picture is cut short or damaged")


def test_files_that_are_not_chosen_are_not_opened(tmp_path):
    folder = write_pictures(tmp_path / "pictures", [10, 20, 30])
    source = open_frames(folder)
    for name in ("000.png", "001.png"):
        (folder / name).unlink()
    assert [frame.index for frame in source.read([2])] == [2]
    assert isinstance(next(source.read([1])), Unreadable)  # had it been opened, it would show


def test_the_pictures_of_a_coco_file_in_its_order(tmp_path):
    write_pictures(tmp_path / "train", [10, 20])
    path = write_coco(tmp_path / "train.json", ["001.png", "000.png"])
    expected = [(0, "001.png", 20), (1, "000.png", 10)]
    assert seen(path) == seen(read_coco(path)) == expected
    assert open_frames(path).description == f"the 2 pictures of {path}"


@pytest.mark.parametrize("name", ["clip.avi", "CLIP.AVI", "clip.mkv"])
def test_a_video(tmp_path, name):
    path = write_video(tmp_path / name, [10, 50, 90, 130])
    frames = list(open_frames(path).read())
    assert [frame.name for frame in frames] == [f"{name}#{index}" for index in range(4)]
    levels = [frame.picture.mean() for frame in frames]
    np.testing.assert_allclose(levels, [10, 50, 90, 130], atol=3)
    assert frames[0].picture.shape == (48, 64, 3) and frames[0].picture.dtype == np.uint8


def test_chosen_frames_of_a_video_are_those_of_a_whole_pass(tmp_path):
    # MPEG-4 frames are differences from the one before, so they cannot be decoded alone.
    path = write_video(tmp_path / "clip.mp4", range(10, 250, 8), codec="mp4v")
    source = open_frames(path)
    frames = list(source.read())
    assert len(frames) == 30
    chosen = list(source.read([3, 4, 17, 29]))
    assert [frame.index for frame in chosen] == [3, 4, 17, 29]
    for frame in chosen:
        np.testing.assert_array_equal(frame.picture, frames[frame.index].picture)


@pytest.mark.parametrize("name", ["clip.avi", "clip.mkv"])
def test_a_video_that_is_cut_short_gives_what_it_has_and_says_so(tmp_path, name):
    path = write_video(tmp_path / name, range(10, 250, 8))
    data = path.read_bytes()
    assert all(isinstance(frame, Frame) for frame in open_frames(path).read())
    path.write_bytes(data[: len(data) // 2])
    *frames, last = open_frames(path).read()
    assert 0 < len(frames) < 30 and all(isinstance(frame, Frame) for frame in frames)
    assert (last.index, last.name) == (len(frames), f"{name}#{len(frames)}")
    assert "header announces 30 frames" in last.reason


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"no video at all", ["clip.mp4", "reads no frame", "copy it again"]),
        (b"", ["clip.mp4", "reads no frame"]),
        (None, ["clip.mp4", "no such file"]),
    ],
)
def test_a_video_that_cannot_be_opened(tmp_path, content, words):
    if content is not None:
        (tmp_path / "clip.mp4").write_bytes(content)
    with pytest.raises(InputError) as excinfo:
        open_frames(tmp_path / "clip.mp4")
    for word in words:
        assert word in str(excinfo.value)


@pytest.mark.parametrize("kind", [list, tuple, np.array, iter])
def test_frames_of_an_iterable(kind):
    source = kind([plain(10), plain(20), plain(30)])
    assert seen(source) == [(0, "frame 0", 10), (1, "frame 1", 20), (2, "frame 2", 30)]


def test_frames_of_an_iterable_are_converted_as_the_runtime_does():
    grey = np.array([[0, 100], [200, 255]], np.uint8)
    bgra = np.dstack([plain(7, 2, 2), np.full((2, 2), 255, np.uint8)])
    deep = (grey.astype(np.uint16)) * 257
    turned = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)[:, ::-1]
    pictures = [frame.picture for frame in open_frames([grey, bgra, deep, turned]).read()]
    expected = [np.dstack([grey] * 3), plain(7, 2, 2), np.dstack([grey] * 3), turned]
    for picture, wanted in zip(pictures, expected, strict=True):
        np.testing.assert_array_equal(picture, wanted)
        assert picture.flags.c_contiguous and picture.dtype == np.uint8


def test_none_in_an_iterable_is_a_picture_that_could_not_be_read():
    source = open_frames([plain(10), cv2.imread("nowhere.png"), plain(30)])
    first, none, last = source.read()
    assert isinstance(none, Unreadable) and (none.index, none.name) == (1, "frame 1")
    assert (first.index, last.index) == (0, 2)


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (plain(20).astype(np.float32) / 255, ["frame 1", "float32", "astype(np.uint8)"]),
        (plain(20).transpose(2, 0, 1), ["frame 1", "(3, 6, 8)", "transpose(1, 2, 0)"]),
        ("a.jpg", ["frame 1", "the path 'a.jpg'", "read_image"]),
        (np.zeros((0, 8, 3), np.uint8), ["frame 1", "empty"]),
    ],
)
@pytest.mark.parametrize("kind", [list, iter])
def test_what_is_no_picture_is_named_by_its_position(kind, item, words):
    frames = open_frames(kind([plain(10), item])).read()
    assert next(frames).index == 0
    with pytest.raises(InputError) as excinfo:
        next(frames)
    for word in words:
        assert word in str(excinfo.value)


def test_a_generator_is_read_once_and_as_it_comes():
    asked = []

    def pictures():
        for level in (10, 20, 30):
            asked.append(level)
            yield plain(level)

    source = open_frames(pictures())
    frames = source.read()
    assert next(frames).index == 0 and asked == [10]
    assert [frame.index for frame in frames] == [1, 2]
    assert source.description == "the frames of the generator handed in"
    with pytest.raises(InputError, match="passed by"):
        next(source.read())


def test_chosen_frames_of_iterables():
    pictures = [plain(10), plain(20), plain(30)]
    for source in (pictures, iter(pictures)):
        assert seen(source, [2, 0]) == [(0, "frame 0", 10), (2, "frame 2", 30)]
    shrunk = open_frames(pictures)
    del pictures[2]
    assert [frame.index for frame in shrunk.read([0, 2])] == [0]


@pytest.mark.parametrize("kind", ["folder", "video", "list", "generator"])
def test_every_nth_frame_keeps_its_index(tmp_path, kind):
    levels = [10, 50, 90, 130, 170]
    source = {
        "folder": lambda: write_pictures(tmp_path / "pictures", levels),
        "video": lambda: write_video(tmp_path / "clip.avi", levels),
        "list": lambda: [plain(level) for level in levels],
        "generator": lambda: (plain(level) for level in levels),
    }[kind]()
    opened = open_frames(source, every=2)
    frames = list(opened.read())
    assert [frame.index for frame in frames] == [0, 2, 4]
    np.testing.assert_allclose([frame.picture.mean() for frame in frames], [10, 90, 170], atol=3)
    assert opened.description.startswith("1 in 2 of the ")


def test_what_cannot_be_opened(tmp_path):
    for source, words in (
        (tmp_path / "missing", "no such file or folder"),
        (tmp_path, "no pictures found"),
        (tmp_path / "missing.json", "no such file"),
        (plain(10), "one array of shape"),
        (12, "got int"),
    ):
        with pytest.raises(InputError, match=words):
            open_frames(source)


@pytest.mark.parametrize("every", [0, -1])
def test_every_must_be_positive(every):
    with pytest.raises(InputError, match=f"got {every}"):
        open_frames([plain(10)], every=every)


def test_an_open_source_is_taken_as_it_is():
    source = open_frames([plain(10)])
    assert open_frames(source) is source
    with pytest.raises(InputError, match="every=n"):
        open_frames(source, every=2)


def test_home_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    write_video(tmp_path / "clip.avi", [10, 20])
    assert len(seen("~/clip.avi")) == 2


def test_a_digest_tells_pixels_and_shapes_apart():
    picture = np.arange(36, dtype=np.uint8).reshape(2, 6, 3)
    expected = hashlib.sha256(struct.pack("<II", 2, 6) + bytes(range(36))).digest()
    assert Frame(0, "a", picture).digest() == Frame(1, "b", picture).digest() == expected
    assert Frame(0, "a", picture.reshape(6, 2, 3)).digest() != expected
    changed = picture.copy()
    changed[1, 5, 2] += 1
    assert Frame(0, "a", changed).digest() != expected


def test_a_cut_video_can_be_sampled(tmp_path):
    path = write_video(tmp_path / "clip.mkv", range(10, 250, 24))
    path.write_bytes(path.read_bytes()[:-900])
    chosen = sample_frames(path)
    assert 0 < chosen.seen < 10 and len(list(chosen)) == len(chosen)
    assert any("header announces 10 frames" in note for note in chosen.notes)
