"""Patterns match what Python's `glob` matches, in folders and in S3 alike."""

from __future__ import annotations

import glob
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.effort import examples
from tiler.errors import BadSource
from tiler.scenes.folders import matching, selected
from tiler.scenes.patterns import Pattern

PARTS = st.text("ab.", min_size=1, max_size=3).filter(lambda part: part.strip("."))
WILD = st.one_of(
    PARTS,
    st.sampled_from(["*", "?", "**", "a*", "*b", "[ab]", "[!a]*", ".*", "[a-b]?", "*a*", "[", "[]a]", "a[b", "[!]]"]),
)
KEYS = st.lists(st.tuples(st.lists(PARTS, max_size=3), PARTS), min_size=1, max_size=8)


@settings(max_examples=examples(150))
@given(KEYS, st.lists(WILD, max_size=3), WILD)
def test_a_pattern_matches_what_glob_matches(keys: list[tuple[list[str], str]], folders: list[str], last: str) -> None:
    pattern = Pattern.of("/".join([*folders, f"{last}.tif" if last != "**" else last]))
    with TemporaryDirectory() as name:
        made = set()
        for parts, end in keys:
            file = Path(name, *parts, f"{end}.tif")
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(b"x")
            except OSError:
                continue
            made.add(str(file.relative_to(name)))
        text = pattern.root + "/".join(pattern.parts)
        matched = glob.glob(text, root_dir=name, recursive=True)  # noqa: PTH207 - the oracle
        expected = {each for each in matched if (Path(name) / each).is_file()}
        found = {key for key in made if key.startswith(pattern.root) and selected(key[len(pattern.root) :], pattern)}
        assert found == expected
        try:
            local = matching("", Pattern.of(f"{name}/{text}"))
        except BadSource:
            local = []
        assert [os.path.relpath(each.path, name) for each in local] == sorted(expected)


@pytest.mark.parametrize("text", ["[z-a].tif", "[a--b].tif", "[a&&b].tif", "[[a].tif", "[a\\].tif", "[^a].tif"])
def test_no_brackets_break_a_pattern(text: str) -> None:
    pattern = Pattern.of(text)
    assert pattern.matches("a.tif") == (text != "[z-a].tif")


def test_a_pattern_of_many_stars_ends() -> None:
    assert not Pattern.of("**" * 40 + "x.tif").matches("a" * 200)
