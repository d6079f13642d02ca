"""Where a process's main thread spends its time: functions are named, wrapped while it runs, and charged one by one."""

from __future__ import annotations

import functools
import inspect
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any, NamedTuple

REST = "overhead"  # what no function that is named accounts for


class Spent(NamedTuple):
    """Seconds by the clock, and of the processor for all threads of the process."""

    wall: float
    cpu: float


class Stopwatch:
    """Charges each moment to the innermost of the functions that run, so that the parts add up to the whole.

    Only the thread that made it is looked at: what others do meanwhile is what the main one waits for.
    """

    def __init__(self) -> None:
        self.spent: dict[str, Spent] = defaultdict(lambda: Spent(0, 0))
        self.calls: dict[str, int] = defaultdict(int)
        self._thread = threading.get_ident()
        self._stages: list[str] = [REST]
        self._mark = self._now()

    def reset(self) -> None:
        """Forget what was spent so far."""
        self.spent.clear()
        self.calls.clear()
        self._mark = self._now()

    def stop(self) -> dict[str, Spent]:
        """What was spent in each stage until now; `REST` is all else."""
        self._charge()
        return dict(self.spent)

    def wrap(self, stages: Mapping[str, Sequence[str]]) -> None:
        """Charge functions to stages; each is `module:name` or `module:Class.name`, as its caller looks it up.

        Exits where there is no such function any more.
        """
        for stage, names in stages.items():
            for name in names:
                module, _, path = name.partition(":")
                owner: Any = import_module(module)
                *parents, last = path.split(".")
                try:
                    for parent in parents:
                        owner = getattr(owner, parent)
                    function = getattr(owner, last)
                except AttributeError:
                    sys.exit(f"there is no {name} any more: mend the table of the stage {stage!r}")
                setattr(owner, last, self._timed(stage, function))

    def _timed(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            if threading.get_ident() != self._thread:
                return function(*args, **kwargs)
            self.calls[stage] += 1
            self._enter(stage)
            try:
                return function(*args, **kwargs)
            finally:
                self._leave()

        @functools.wraps(function)
        def draw(*args: Any, **kwargs: Any) -> Iterator[Any]:
            self.calls[stage] += 1
            items = function(*args, **kwargs)
            while True:
                self._enter(stage)
                try:
                    item = next(items)
                except StopIteration:
                    return
                finally:
                    self._leave()
                yield item

        return draw if inspect.isgeneratorfunction(function) else call

    def _enter(self, stage: str) -> None:
        self._charge()
        self._stages.append(stage)

    def _leave(self) -> None:
        self._charge()
        self._stages.pop()

    def _charge(self) -> None:
        now, before = self._now(), self._mark
        wall, cpu = self.spent[self._stages[-1]]
        self.spent[self._stages[-1]] = Spent(wall + now.wall - before.wall, cpu + now.cpu - before.cpu)
        self._mark = now

    @staticmethod
    def _now() -> Spent:
        return Spent(time.perf_counter(), time.process_time())
