"""What is set for the whole process for a while is as it was afterwards, whatever happens meanwhile."""

from __future__ import annotations

import logging
import os
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest

from edgeblend.converters.process_state import (
    kept_through_import,
    logging_at,
    replaced,
    some_home,
    without_warnings_of,
)


@pytest.mark.parametrize("raised", [None, ValueError, KeyboardInterrupt])
def test_attributes_are_put_back(raised):
    owner = SimpleNamespace(a=1)
    try:
        with replaced(owner, a=2, b=3):
            assert (owner.a, owner.b) == (2, 3)
            if raised is not None:
                raise raised
    except BaseException as error:
        assert type(error) is raised
    assert vars(owner) == {"a": 1}


def test_what_a_class_inherits_is_inherited_again():
    class Parent:
        @staticmethod
        def name() -> str:
            return "parent"

    class Child(Parent):
        pass

    with replaced(Child, name=staticmethod(lambda: "other")):
        assert (Child.name(), Parent.name()) == ("other", "parent")
    assert "name" not in vars(Child)
    with replaced(Parent, name=staticmethod(lambda: "other")):
        assert Child.name() == "other"
    assert isinstance(vars(Parent)["name"], staticmethod)


def test_levels_are_put_back():
    mine, other = logging.getLogger("mine.below"), logging.getLogger("other")
    logging.getLogger("mine").setLevel(logging.INFO)
    with pytest.raises(KeyboardInterrupt), logging_at(logging.ERROR, "mine"):
        assert mine.getEffectiveLevel() == logging.ERROR
        assert other.getEffectiveLevel() == logging.root.level
        raise KeyboardInterrupt
    assert logging.getLogger("mine").level == logging.INFO


def test_warnings_of_other_packages_are_still_seen():
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        before = list(warnings.filters)
        with without_warnings_of("loud.package", "third"):
            for module in ("loud.package", "loud.package.part", "third", "loud", "thirdly", "mine"):
                warnings.warn_explicit(module, UserWarning, f"{module}.py", 1, module=module)
        assert warnings.filters == before
    assert [str(warning.message) for warning in seen] == ["loud", "thirdly", "mine"]


def test_an_import_leaves_the_process_as_it_was(monkeypatch):
    monkeypatch.setenv("EDGEBLEND_TEST_KEPT", "before")

    class Loud(logging.Logger):
        pass

    before, filters, kind = dict(os.environ), list(warnings.filters), logging.getLoggerClass()
    with kept_through_import():
        os.environ["EDGEBLEND_TEST_KEPT"] = "after"
        os.environ["EDGEBLEND_TEST_NEW"] = "new"
        logging.setLoggerClass(Loud)
        warnings.filterwarnings("once", "loud")
    assert dict(os.environ) == before
    assert warnings.filters == filters
    assert logging.getLoggerClass() is kind


def test_who_has_no_home_is_given_one_for_a_while(monkeypatch):
    monkeypatch.setenv("HOME", "/mine")
    with some_home():
        assert os.environ["HOME"] == "/mine"
    monkeypatch.delenv("HOME")

    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    with pytest.raises(KeyboardInterrupt), some_home():
        assert Path(os.environ["HOME"]).is_dir()
        raise KeyboardInterrupt
    assert "HOME" not in os.environ
