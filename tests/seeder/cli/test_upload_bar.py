"""The bar of an upload."""

from __future__ import annotations

import io
import sys

import pytest

from seeder.cli.progress import Meter, TerminalReport


class Terminal(io.StringIO):
    """A terminal to write to."""

    def isatty(self) -> bool:
        """It is one."""
        return True


def test_an_upload_shows_bytes_in_short_and_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    with TerminalReport().stage("upload ortho", 60_000_000_000, done=12_000_000_000, unit="byte") as advance:
        advance(1_500_000_000)
    last = screen.getvalue().split("\r")[-1]
    assert "upload ortho:" in last
    assert "13.5G/60.0G" in last
    assert "B/s]" in last


def test_off_a_terminal_the_lines_count_megabytes() -> None:
    with Meter("upload ortho", 60_000_000_000, 12_000_000_000, unit="byte") as meter:
        meter.update(1_500_000_000)
        assert meter.line().startswith("upload ortho: 13,500.0 of 60,000.0 MB (22%), ")
