import gc
import hashlib
import tempfile
import tracemalloc
import weakref

import cv2
import numpy as np
import pytest

from edgeblend.calibration.data import frames
from edgeblend.calibration.data.frames import Frame, open_frames
from edgeblend.calibration.sampling.candidates import POOL_FACTOR
from edgeblend.calibration.sampling.sample import DEFAULT_COUNT, FEW, UNREADABLE_KEPT, sample_frames
from edgeblend.errors import InputError, OutputError

COLOURS = ((40, 40, 40), (200, 60, 60), (60, 200, 90))


def plain(level):
    return np.full((24, 32, 3), level, np.uint8)


def clusters(each=6):
    """Return pictures of three colours in turn, with noise: 0, 3, 6, ... are alike."""
    rng = np.random.default_rng(7)
    noise = rng.integers(-8, 9, (3 * each, 24, 32, 3))
    return [(np.array(COLOURS[i % 3]) + noise[i]).astype(np.uint8) for i in range(3 * each)]


def scenes(number, size=(32, 24)):
    """Yield pictures that all differ: 8x8 cells of random levels."""
    rng = np.random.default_rng(0)
    for _ in range(number):
        yield cv2.resize(rng.integers(0, 256, (8, 8, 3), np.uint8), size, interpolation=cv2.INTER_NEAREST)


def write_pictures(folder, pictures):
    folder.mkdir()
    for index, picture in enumerate(pictures):
        assert cv2.imwrite(str(folder / f"{index:03}.png"), picture)
    return folder


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """The folder that copies of passing frames are made in."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def copies(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def test_near_duplicates_are_dropped_and_the_first_of_each_is_kept():
    chosen = sample_frames(clusters())
    assert chosen.names == ("frame 0", "frame 1", "frame 2")
    assert (len(chosen), chosen.seen, chosen.near_duplicates) == (3, 18, 15)
    assert "15 of 18 frames look like others and were left out" in chosen.notes


def test_near_duplicates_may_be_kept():
    chosen = sample_frames(clusters(), near_duplicates="keep")
    assert (len(chosen), chosen.near_duplicates) == (18, 0)


@pytest.mark.parametrize(("step", "kept"), [(20, 1), (21, 2)])
def test_20_levels_are_a_near_duplicate_and_21_are_not(step, kept):
    assert len(sample_frames([plain(100), plain(100 + step)])) == kept


@pytest.mark.parametrize("seed", range(6))
def test_the_chosen_are_spread_over_the_content(seed):
    chosen = sample_frames(clusters(), count=3, near_duplicates="keep", seed=seed)
    assert {frame.index % 3 for frame in chosen} == {0, 1, 2}


def test_a_rare_scene_is_chosen_among_many_of_another():
    pictures = [plain(30 + index % 40) for index in range(200)]
    pictures[117] = plain(220)
    for seed in range(4):
        assert "frame 117" in sample_frames(pictures, count=2, near_duplicates="keep", seed=seed).names


def test_frames_come_by_rising_index_as_they_are_in_the_source():
    pictures = list(scenes(40))
    chosen = sample_frames(pictures, count=12)
    found = list(chosen)
    assert all(isinstance(frame, Frame) for frame in found)
    assert [frame.index for frame in found] == sorted({frame.index for frame in found})
    assert tuple(frame.name for frame in found) == chosen.names and len(found) == len(chosen) == 12
    for frame in found:
        np.testing.assert_array_equal(frame.picture, pictures[frame.index])


def test_the_seed_decides_alone():
    pictures = list(scenes(60))
    sets = [sample_frames(pictures, count=10, seed=seed) for seed in (0, 0, 1, 2)]
    assert sets[0].names == sets[1].names and sets[0].digest == sets[1].digest
    assert len({chosen.names for chosen in sets}) == 3
    assert [chosen.seed for chosen in sets] == [0, 0, 1, 2]


def test_where_all_fit_the_seed_does_not_matter():
    assert len({sample_frames(scenes(9), count=9, seed=seed).digest for seed in range(3)}) == 1


def test_files_lists_and_generators_give_the_same_set(tmp_path):
    pictures = list(scenes(50))
    sets = [
        sample_frames(source, count=8)
        for source in (pictures, np.stack(pictures), iter(pictures), write_pictures(tmp_path / "p", pictures))
    ]
    indices = [[frame.index for frame in chosen] for chosen in sets]
    assert indices[1:] == indices[:-1]
    assert len({chosen.digest for chosen in sets}) == 1
    expected = b"".join(frame.digest() for frame in sets[0])
    assert sets[0].digest == hashlib.sha256(expected).hexdigest()


@pytest.mark.parametrize("kind", [list, iter])
def test_a_set_can_be_gone_through_again_and_side_by_side(kind):
    chosen = sample_frames(kind(list(scenes(12))), count=5)
    once = [frame.digest() for frame in chosen]
    next(iter(chosen))  # left half-way
    assert [frame.digest() for frame in chosen] == once
    assert all(first.index == second.index for first, second in zip(chosen, chosen, strict=True))


def test_every_thins_before_choosing():
    chosen = sample_frames(scenes(12), every=5)
    assert chosen.names == ("frame 0", "frame 5", "frame 10") and chosen.seen == 3


def test_small_sets_say_so():
    few = sample_frames(scenes(FEW - 1), count=FEW - 1)
    (note,) = few.notes
    assert note.startswith("99 frames are few to calibrate with; 100 to 300 that look like what the camera")
    assert sample_frames(scenes(FEW), count=FEW).notes == ()
    assert sample_frames([plain(0)], count=1).notes[0].startswith("1 frame is few")


def test_less_than_asked_for_says_so():
    assert DEFAULT_COUNT == 300
    assert "300 frames were asked for, but there are only 120" in sample_frames(scenes(120)).notes
    notes = sample_frames(clusters()).notes
    assert "300 frames were asked for, but there are only 3 that differ enough" in notes


def test_what_was_passed_over_is_the_first_note(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "b.heic").touch()
    notes = sample_frames(tmp_path).notes
    assert notes[0] == f"{tmp_path}: 1 file that is no picture was passed over: 1 .heic"


def test_corrupt_pictures_are_skipped_and_counted(tmp_path):
    folder = write_pictures(tmp_path / "p", scenes(4))
    _, data = cv2.imencode(".jpg", next(scenes(1)))
    (folder / "002.jpg").write_bytes(data.tobytes()[:-200])
    (folder / "notes.jpg").write_text("no picture")
    chosen = sample_frames(folder)
    assert chosen.names == ("000.png", "001.png", "002.png", "003.png")
    assert (chosen.seen, chosen.unreadable_count) == (4, 2)
    assert [(bad.index, bad.name) for bad in chosen.unreadable] == [(2, "002.jpg"), (5, "notes.jpg")]
    (note,) = (note for note in chosen.notes if "cannot be read" in note)
    assert note.startswith(
        "2 of 6 frames cannot be read and were left out: 002.jpg (the picture is cut short"
    )
    assert len(list(chosen)) == 4


def test_of_many_unreadable_pictures_the_first_are_named():
    chosen = sample_frames([None] * 50 + list(scenes(2)))
    assert (len(chosen.unreadable), chosen.unreadable_count) == (UNREADABLE_KEPT, 50)
    assert any(note.startswith("50 of 52 frames") and note.endswith("and 47 more") for note in chosen.notes)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ([], ["0 frames of the list handed in", "got none"]),
        ([None, None], ["none of 2 frames can be read", "frame 0 (None"]),
        (iter([]), ["list_iterator", "got none"]),
    ],
)
def test_nothing_to_choose_from(source, words):
    with pytest.raises(InputError) as excinfo:
        sample_frames(source)
    for word in words:
        assert word in str(excinfo.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"count": 0}, "at least 1 frame, got 0"),
        ({"count": -3}, "at least 1 frame, got -3"),
        ({"every": 0}, "got 0"),
        ({"seed": -1}, "got -1"),
        ({"count": 1.5}, "count: got 1.5; give a whole number"),
        ({"count": "3"}, "count: got '3'; give a whole number"),
        ({"count": True}, "count: got True; give a whole number"),
        ({"seed": "x"}, "seed: got 'x'; give a whole number"),
        ({"seed": 1.5}, "seed: got 1.5; give a whole number"),
        ({"near_duplicates": "maybe"}, "'maybe'; choose one of drop, keep"),
    ],
)
def test_wrong_options(options, words):
    with pytest.raises(InputError, match=words):
        sample_frames([plain(0)], **options)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda path: path.unlink(), "001.png of .* cannot be read now: no such file"),
        (lambda path: path.write_bytes(b"x"), "001.png of .* cannot be read now: not a picture"),
        (lambda path: cv2.imwrite(str(path), plain(9)), "001.png of .* is another picture now"),
    ],
)
def test_a_chosen_picture_that_changes_between_passes(tmp_path, spoil, words):
    folder = write_pictures(tmp_path / "p", scenes(3))
    chosen = sample_frames(folder)
    spoil(folder / "001.png")
    passed = iter(chosen)
    assert next(passed).name == "000.png"
    with pytest.raises(InputError, match=words):
        next(passed)


def test_a_list_that_shrinks_between_passes():
    pictures = list(scenes(3))
    chosen = sample_frames(pictures)
    pictures.pop()
    with pytest.raises(InputError, match="frame 2 of .* is no longer there"):
        list(chosen)


class Tracked:
    """A source that counts how many of its pictures are alive."""

    description = "tracked pictures"

    def __init__(self, number):
        self.number, self.alive, self.most = number, 0, 0

    def read(self, chosen=None):
        for index, picture in enumerate(scenes(self.number)):
            if chosen is None or index in chosen:
                weakref.finalize(picture, self.died)
                self.alive += 1
                self.most = max(self.most, self.alive)
                yield Frame(index, f"tracked {index}", picture)

    def died(self):
        self.alive -= 1


def test_pictures_are_held_one_at_a_time():
    source = Tracked(60)
    chosen = sample_frames(source, count=20)
    assert sum(1 for _ in chosen) == 20
    # One that is looked at and the next being made, each named in the source, the sampler and here.
    assert source.most <= 3
    assert source.alive == 0


def test_the_count_of_living_pictures_finds_what_holds_them():
    source = Tracked(60)
    held = list(source.read())
    assert source.most == len(held) == 60


@pytest.mark.parametrize("kind", ["folder", "video"])
def test_files_are_decoded_one_at_a_time(tmp_path, monkeypatch, kind):
    alive = []
    name = "read_image" if kind == "folder" else "read_video"
    original = getattr(frames, name)

    def tracked_image(path):
        picture = original(path)
        alive.append(weakref.ref(picture))
        assert sum(ref() is not None for ref in alive) <= 3
        return picture

    def tracked_video(*arguments, **options):
        for position, picture in original(*arguments, **options):
            alive.append(weakref.ref(picture))
            assert sum(ref() is not None for ref in alive) <= 3
            yield position, picture

    monkeypatch.setattr(frames, name, tracked_image if kind == "folder" else tracked_video)
    source = tmp_path / "clip.avi"
    if kind == "folder":
        source = write_pictures(tmp_path / "p", scenes(12))
    else:
        writer = cv2.VideoWriter(str(source), cv2.VideoWriter.fourcc(*"MJPG"), 25, (32, 24))
        for picture in scenes(12):
            writer.write(picture)
        writer.release()
    assert sum(1 for _ in sample_frames(source, count=6)) == 6
    assert len(alive) == 12 + 6


def peak_of(action):
    tracemalloc.start()
    try:
        held = action()
        return tracemalloc.get_traced_memory()[1], held
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_number_of_frames(temporary):
    def sampled(number):
        return peak_of(lambda: sum(1 for _ in sample_frames(scenes(number), count=8)))[0]

    sampled(10)  # what is imported and cached on the way
    assert sampled(1000) < 1.2 * sampled(50)
    assert peak_of(lambda: list(scenes(1000)))[0] > 5 * peak_of(lambda: list(scenes(50)))[0]


def test_memory_does_not_grow_with_the_set(temporary):
    def sampled(count):
        pictures = scenes(90, size=(640, 480))
        return peak_of(lambda: sum(1 for _ in sample_frames(pictures, count=count)))[0]

    assert sampled(80) < 1.5 * sampled(4)


def test_frames_that_pass_by_are_kept_on_disk_as_few_as_are_candidates(temporary):
    most = 0

    def passing():
        nonlocal most
        for picture in scenes(200):
            most = max(most, len(copies(temporary)))
            yield picture

    chosen = sample_frames(passing(), count=6)
    assert 6 < most <= POOL_FACTOR * 6
    assert len(copies(temporary)) == len(chosen) == 6


def test_lists_and_files_are_not_copied(tmp_path, temporary):
    folder = write_pictures(tmp_path / "p", scenes(3))
    for source in (folder, list(scenes(3)), open_frames(list(scenes(3)))):
        assert len(list(sample_frames(source))) == 3
        assert list(temporary.iterdir()) == []


def test_copies_are_deleted_when_the_set_is_closed(temporary):
    with sample_frames(scenes(5)) as chosen:
        passed = iter(chosen)
        assert next(passed).index == 0 and len(copies(temporary)) == 5
    assert list(temporary.iterdir()) == []
    for frames_left in (passed, iter(chosen)):
        with pytest.raises(InputError, match="generator handed in .* closed"):
            next(frames_left)
    chosen.close()  # twice does no harm


def test_copies_are_deleted_with_the_set(temporary, recwarn):
    chosen = sample_frames(scenes(5))
    assert len(copies(temporary)) == 5
    del chosen
    gc.collect()
    assert list(temporary.iterdir()) == [] and len(recwarn) == 0


def test_a_pass_keeps_the_copies_alive(temporary):
    passed = iter(sample_frames(scenes(5)))
    gc.collect()
    assert sum(1 for _ in passed) == 5


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_copies_are_deleted_when_the_source_fails(temporary, error):
    def failing():
        yield from scenes(3)
        raise error

    with pytest.raises(error):
        sample_frames(failing())
    gc.collect()
    assert list(temporary.iterdir()) == []


def test_a_full_disk_is_an_output_error(temporary, monkeypatch):
    def full(path, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(OutputError, match="frame 0: .*No space left.*TMPDIR"):
        sample_frames(scenes(3))
    assert list(temporary.iterdir()) == []


def test_a_temporary_folder_that_cannot_be_written_is_an_output_error(monkeypatch):
    def refuse(**options):
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    with pytest.raises(OutputError, match="No usable temporary directory found.*TMPDIR"):
        sample_frames(scenes(3))


def test_lists_stay_usable_after_closing():
    chosen = sample_frames(list(scenes(3)))
    chosen.close()
    assert len(list(chosen)) == 3


def test_a_bar_is_shown_when_asked_for(capsys):
    sample_frames(list(scenes(3)))
    assert capsys.readouterr() == ("", "")
    sample_frames(list(scenes(3)), progress=True)
    out, err = capsys.readouterr()
    assert out == "" and "3/3" in err
