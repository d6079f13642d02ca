"""bench/against.py: an interrupted run continues, changed tools are measured again, ratios are compared with goals."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.paths import ROOT

SECONDS = {"ours": 2.0, "peer": 9.0, "slow": 30.0}


@pytest.fixture
def against(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The benchmark, which measures nothing: each command takes its SECONDS, and is recorded in `measured`."""
    monkeypatch.syspath_prepend(ROOT / "bench")
    module = importlib.import_module("against")
    monkeypatch.setattr(module.kept, "FOLDER", tmp_path / "kept")
    monkeypatch.setattr(module, "sample", lambda _: [])
    monkeypatch.setattr(module, "judge", lambda *_: None)
    measured: list[str] = []
    monkeypatch.setattr(module, "measured", measured, raising=False)

    def timed(command: list[str]) -> Any:
        measured.append(" ".join(command))
        return module.Figures(wall=SECONDS[command[0]], cpu=SECONDS[command[0]] / 2, memory=1.0)

    monkeypatch.setattr(module, "timed", timed)
    return module


SOURCE = SimpleNamespace(
    name="dem", title="Terrain", zooms="0-1", path=Path("dem.tif"), palette=False, resampling="cubic", count=lambda: 5
)


@pytest.fixture
def compare(against: Any, tmp_path: Path) -> Callable[..., str]:
    """All tools on a source; the tables."""
    tools = importlib.import_module("peers.tools")

    def run(*, fresh: bool = False, version: str = "1", goal: float = 3.0, runs: int = 2) -> str:
        def tool(name: str, *commands: list[str], rows: tuple[Any, ...], **options: Any) -> Any:
            written = SimpleNamespace(size=lambda: (5, 1000))
            return tools.Tool(name, lambda: version, lambda *_: [*commands], lambda *_: written, rows, **options)

        both = tools.Row("both", goals={"dem": goal}), tools.Row("seed", 1, {"dem": goal})
        several = [
            tool("ours", ["ours", "ingest"], ["ours", "seed"], rows=both, ours=True),
            tool("peer", ["peer"], rows=(tools.Row("peer"),)),
            tool("slow", ["slow"], rows=(tools.Row("slow"),), runs=1),
        ]
        number = sum(1 for _ in tmp_path.iterdir())
        figures = against.kept.Kept("against", fresh=fresh)
        measured = against.on_source(SOURCE, several, figures, runs=runs, folder=tmp_path / f"tiles{number}")
        (tmp_path / f"tiles{number}").mkdir(exist_ok=True)
        return "\n".join(against.tables([measured], {version: "ours"}))

    return run


def test_tools_take_turns_and_a_slow_one_runs_once(against: Any, compare: Callable[..., str]) -> None:
    compare()
    turn = ["ours ingest", "ours seed", "peer"]
    assert against.measured == [*turn, "slow", *turn]


def test_an_interrupted_run_continues(
    against: Any, compare: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = against.timed

    def stopped(command: list[str]) -> Any:
        if len(against.measured) == 3:
            raise KeyboardInterrupt
        return whole(command)

    monkeypatch.setattr(against, "timed", stopped)
    with pytest.raises(KeyboardInterrupt):
        compare()
    monkeypatch.setattr(against, "timed", whole)
    before = len(against.measured)
    after_interruption = compare()
    assert against.measured[before:] == ["slow", "ours ingest", "ours seed", "peer"]
    assert compare() == after_interruption
    assert len(against.measured) == before + 4, "everything was kept"


def test_a_changed_tool_is_measured_again(against: Any, compare: Callable[..., str]) -> None:
    compare(runs=1)
    once = len(against.measured)
    compare(runs=1, version="2")
    assert len(against.measured) == 2 * once
    compare(runs=1, version="2", fresh=True)
    assert len(against.measured) == 3 * once


def test_ratios_to_the_fastest_peer_meet_their_goals_or_miss_them(compare: Callable[..., str]) -> None:
    text = compare(goal=3.0)
    assert "| both | dem | 2.25 | 2.25 | 3 | **missed** |" in text
    assert "| seed | dem | 4.50 | 4.50 | 3 | met |" in text
    assert "| both | 4.0 (4.0-4.0) | 2.0 |" in text


def test_a_failed_tool_keeps_its_row(
    against: Any, compare: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(command: list[str]) -> Any:
        if command == ["peer"]:
            raise against.Failed("exit 1: no such kernel")
        return against.Figures(1.0, 1.0, 1.0)

    monkeypatch.setattr(against, "timed", failing)
    rows = [line for line in compare().splitlines() if line.startswith("|")]
    head, failed = (next(row for row in rows if row.startswith(start)) for start in ("| | wall s", "| peer |"))
    assert "failed: exit 1: no such kernel" in failed
    assert failed.count("|") == head.count("|")
