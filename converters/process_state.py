"""State of the whole process that third parties leave no way around, set for a while and then as it was.

Other threads see it for that while, so that only names of a third party's own modules, its own loggers and
warnings from its modules are touched. Hold :func:`~edgeblend.processes.one_at_a_time.one_at_a_time` around
all of it.
"""

from __future__ import annotations

import logging
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replaced(owner: object, **values: object) -> Iterator[None]:
    """Set attributes of a module, a class or an object."""
    own = {name: vars(owner)[name] for name in values if name in vars(owner)}
    try:
        for name, value in values.items():
            setattr(owner, name, value)
        yield
    finally:
        for name in values:
            if name in own:
                setattr(owner, name, own[name])
            elif name in vars(owner):  # it is inherited, or was not there
                delattr(owner, name)


@contextmanager
def logging_at(level: int, *names: str) -> Iterator[None]:
    """Let loggers pass nothing below a level, nor loggers below them that have no level of their own."""
    before = {name: logging.getLogger(name).level for name in names}
    try:
        for name in names:
            logging.getLogger(name).setLevel(level)
        yield
    finally:
        for name, own in before.items():
            logging.getLogger(name).setLevel(own)


@contextmanager
def without_warnings_of(*packages: str) -> Iterator[None]:
    """Leave out warnings that are raised in packages, and no others."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=rf"({'|'.join(map(re.escape, packages))})(\.|$)")
        yield


@contextmanager
def some_home() -> Iterator[None]:
    """Name a home folder for a user who has none: NNCF asks for one when it is imported."""
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = os.sep
        try:
            yield
        finally:
            del os.environ["HOME"]
    else:
        yield


@contextmanager
def kept_through_import() -> Iterator[None]:
    """Take back what packages set for the process while they are imported.

    It is the class of loggers (NNCF), environment variables (jax) and filters of warnings (sympy).
    """
    kind, environment = logging.getLoggerClass(), dict(os.environ)
    try:
        with warnings.catch_warnings():
            yield
    finally:
        logging.setLoggerClass(kind)
        for name in [name for name, value in os.environ.items() if environment.get(name) != value]:
            if name in environment:
                os.environ[name] = environment[name]
            else:
                del os.environ[name]
