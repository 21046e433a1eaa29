from pathlib import Path

import pytest

from edgeblend.calibration.data.coco_categories import read_classes
from edgeblend.calibration.data.coco_file import Category
from edgeblend.errors import InputError

FILE = Path("train.json")


def classes(*categories, used=(), wanted=None):
    made = [Category(number, name, *rest) for number, name, *rest in categories]
    return read_classes(FILE, made, frozenset(used), wanted)


def test_classes_go_by_rising_id():
    made = classes((7, "dog"), (-3, "cat"), (2**80, "eel"), used=(7,))
    assert (made.names, made.ids, made.notes) == (("cat", "dog", "eel"), (-3, 7, 2**80), ())
    assert made.indices == {-3: 0, 7: 1, 2**80: 2}


def test_a_root_that_no_object_is_of_is_left_out():
    made = classes((0, "things", "none"), (1, "cup", "things"), (2, "pen", "things"), used=(1, 2))
    assert (made.names, made.ids) == (("cup", "pen"), (1, 2))
    assert made.notes == ("category 0 'things' only groups the others and was left out",)


@pytest.mark.parametrize(
    ("categories", "used"),
    [
        (((0, "things", "none"), (1, "cup", "things")), (0, 1)),  # an object is of it
        (((0, "things", "none"), (1, "cup", "none")), (1,)),  # it stands above nothing
        (((0, "person", "person"), (1, "cup", "kitchen")), (1,)),  # as COCO's own has it
        (((0, "things"), (1, "cup", "things")), (1,)),  # it is not said to stand above all
    ],
)
def test_other_categories_without_objects_stay(categories, used):
    made = classes(*categories, used=used)
    assert (made.ids, made.notes) == ((0, 1), ())


@pytest.mark.parametrize("number", [0, 9])
def test_a_root_called_like_a_class(number):
    made = classes((number, "cup", "none"), (4, "cup", "cup"), (5, "pen", "cup"), used=(4, 5))
    assert (made.names, made.ids) == (("cup", "pen"), (4, 5))
    assert made.indices == {4: 0, 5: 1}
    assert made.notes == (f"category {number} 'cup' only groups the others and was left out",)


def test_of_two_alike_the_one_with_objects_stays():
    made = classes((1, "cup"), (2, "pen"), (3, "cup"), used=(3,))
    assert (made.names, made.ids) == (("pen", "cup"), (2, 3))
    assert made.notes == ("category 1 without objects, called 'cup' like category 3: left out",)


def test_of_two_alike_without_objects_the_first_stays():
    made = classes((1, "cup"), (2, "cup"))
    assert (made.names, made.ids) == (("cup",), (1,))


def test_several_alike_with_objects_become_one():
    made = classes((3, "cup"), (1, "cup"), (2, "pen"), (8, "cup"), used=(1, 3))
    assert (made.names, made.ids) == (("cup", "pen"), (1, 2))
    assert made.indices == {1: 0, 3: 0, 2: 1}
    assert made.notes == (
        "category 8 without objects, called 'cup' like category 1: left out",
        "categories 1 and 3 are all called 'cup' and became one class with id 1",
    )


def test_by_the_names_of_a_model():
    made = classes((5, "dog"), (2, "cat"), used=(5,), wanted=("dog", "cow", "cat"))
    assert (made.names, made.ids, made.indices) == (("dog", "cow", "cat"), (5, 6, 2), {5: 0, 2: 2})


def test_a_root_that_the_model_knows_stays():
    made = classes((0, "things", "none"), (1, "cup", "things"), used=(1,), wanted=("things", "cup"))
    assert (made.ids, made.notes) == ((0, 1), ())
    without = classes((0, "things", "none"), (1, "cup", "things"), used=(1,), wanted=("cup",))
    assert without.ids == (1,) and len(without.notes) == 1


def test_an_id_for_a_class_that_the_file_lacks_is_nobodys():
    made = classes((0, "cup", "none"), (1, "cup"), (9, "cup"), used=(1,), wanted=("cup", "pen"))
    assert made.ids == (1, 10)


@pytest.mark.parametrize(
    ("categories", "wanted", "message"),
    [
        ((), None, "at least one category, got none"),
        (((1, "cup"),), ("pen",), "got also 'cup'; rename or remove"),
        (((1, "cup"),), ("cup", "cup"), "class names given more than once: 'cup'"),
    ],
)
def test_what_is_refused(categories, wanted, message):
    with pytest.raises(InputError, match=message):
        classes(*categories, used=[number for number, _ in categories], wanted=wanted)
