"""The error tree is complete, and its errors can be pickled."""

from __future__ import annotations

import inspect
import pickle
import re

import pytest

from tiler import errors
from tiler.errors import (
    BadInput,
    BadName,
    BadSource,
    BadStore,
    CatalogError,
    ChangedSource,
    MissingObject,
    NewerMetadata,
    SourceReadError,
    StoreError,
    TilerError,
    UnknownLayer,
    WorkerDied,
    ZoomOutside,
)

TREE = {name: kind for name, kind in vars(errors).items() if inspect.isclass(kind) and issubclass(kind, Exception)}
MADE = [
    TilerError("text"),
    BadInput("text"),
    BadName("Bad Name"),
    UnknownLayer("relif", ["relief"]),
    ZoomOutside("relief", [7, 8], 0, 6),
    BadSource("a.tif", "why"),
    ChangedSource("a.tif"),
    BadStore("ftp://a", "why"),
    SourceReadError("a.tif", "why"),
    StoreError("write", "a/b", "why"),
    MissingObject("a/b"),
    CatalogError("sources/a/index.json", "why"),
    NewerMetadata("sources/a/index.json", 2, 1),
    WorkerDied(),
]


def test_the_docstring_draws_the_whole_tree() -> None:
    assert errors.__doc__ is not None
    drawn = re.findall(r"^[│ ]*(?:[├└]── )?([A-Z]\w+)", errors.__doc__.partition("\n")[2], re.MULTILINE)
    assert sorted(drawn) == sorted(TREE)


def test_every_error_is_a_tiler_error_with_a_docstring() -> None:
    for kind in TREE.values():
        assert issubclass(kind, TilerError)
        assert kind.__doc__


@pytest.mark.parametrize("error", MADE, ids=lambda error: type(error).__name__)
def test_an_error_is_the_same_in_another_process(error: TilerError) -> None:
    other = pickle.loads(pickle.dumps(error))
    assert (type(other), str(other), vars(other)) == (type(error), str(error), vars(error))
    assert "\n" not in str(error)
