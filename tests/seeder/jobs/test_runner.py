"""A process counts as gone only if this is certain."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seeder.jobs import runner
from seeder.jobs.ledger import Run, load_run, put_run
from seeder.jobs.runner import Runner
from tests.support.site import memory

ME = Runner.here()
RUN = Run("", datetime(2026, 11, 1, tzinfo=UTC), 0.01, by=ME)
OLD_FIELDS = {"v", "queue", "begun", "most", "sent", "ended", "why"}  # from a run recorded before processes were


def test_this_process_is_not_gone() -> None:
    assert not ME.gone


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the system tells no start of a process")
def test_a_process_is_gone_as_soon_as_it_has_ended_waited_for_or_not() -> None:
    hold = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    with subprocess.Popen(hold, stdin=subprocess.PIPE) as process:
        one = replace(ME, pid=process.pid, started=runner._started(process.pid))
        assert not one.gone
        assert replace(one, started="1").gone, "another process has its id by now"
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it has ended, but is still a zombie
        assert one.gone
    assert one.gone


@pytest.mark.parametrize("differs", ["host", "machine", "room"])
def test_nothing_is_said_of_a_process_elsewhere(differs: str) -> None:
    assert not replace(ME, pid=2**22 + 1, **{differs: "elsewhere"}).gone


def test_what_ran_before_this_machine_was_started_again_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    place = ("host", "machine", "boot", "room")
    monkeypatch.setattr(runner, "_identity", lambda: place)
    assert replace(Runner.here(), boot="before", room="other").gone
    monkeypatch.setattr(runner, "_identity", lambda: ("host", "", "boot", "room"))
    assert not replace(Runner.here(), boot="before").gone, "two machines may have one name"


def test_where_nothing_but_the_id_is_known_the_id_decides(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(runner, "PROC", tmp_path)
    assert not replace(ME, started="").gone
    assert not ME.gone
    assert replace(ME, pid=2**22 + 1).gone


def test_a_run_is_what_was_put_on_record() -> None:
    sources = memory()
    put_run(sources, "job", RUN)
    assert load_run(sources, "job") == RUN


def test_runs_of_older_programs_are_read_and_they_read_ours() -> None:
    sources = memory()
    put_run(sources, "job", RUN)
    said = json.loads(sources.get("jobs/job/run.json"))
    assert said.keys() == OLD_FIELDS | {"by", "stale"}
    old = json.dumps({name: said[name] for name in OLD_FIELDS}).encode()
    sources.put("jobs/job/run.json", old, content_type="application/json")
    assert load_run(sources, "job") == replace(RUN, by=None)


@given(
    st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists)
    | st.fixed_dictionaries({name: st.text() | st.none() for name in asdict(ME)})
)
def test_what_names_no_process_is_none(said: object) -> None:
    found = Runner.from_json(said)
    assert found is None or not (found.gone and found.host != ME.host)
