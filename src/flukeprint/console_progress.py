"""Progress bars on stderr, for work that takes longer than two seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from flukeprint.progress import Progress, Step
from flukeprint.wording import number

PATIENCE_S = 2.0  # shorter work needs no bar


class _Stage:
    """One stage of the work and its bar, if it has one; ``bars`` is None without a terminal."""

    def __init__(self, name: str, size: int, bars: Bars | None, clock: Callable[[], float]) -> None:
        self._name, self._size, self._done, self._bar = name, size, 0, TaskID(-1)
        self._bars, self._clock, self._start = bars, clock, clock()

    def step(self, count: int) -> None:
        """Count what was just done; begin to show it when the work turns out to be long."""
        self._done += count
        seconds = self._clock() - self._start
        if self._bars is None or seconds < PATIENCE_S:
            return
        rate = f"{self._done / seconds:,.1f}/s"
        if self._bar < 0:
            self._bars.start()
            self._bar = self._bars.add_task(self._name, total=self._size, rate=rate)
        self._bars.update(self._bar, completed=self._done, rate=rate)

    def close(self) -> None:
        """Leave one line of a stage that took its time."""
        if self._bars is not None and self._bar >= 0:
            self._bars.remove_task(self._bar)
        seconds = self._clock() - self._start
        if seconds >= PATIENCE_S and self._done:
            done = number(self._done) + (f" of {self._size:,}" if self._done < self._size else "")
            rate = self._done / seconds
            click.echo(f"{self._name}: {done} in {seconds:,.0f} s ({rate:,.1f}/s)", err=True)


@contextmanager
def progress_bar(clock: Callable[[], float] = time.monotonic) -> Iterator[Progress]:
    """A :data:`Progress` that shows itself on stderr once a stage takes longer than two seconds.

    A terminal gets a bar with rate and remaining time; anywhere else, and when a stage is over,
    it is one line a stage. A new stage ends the one before it.
    """
    console = Console(stderr=True, force_terminal=sys.stderr.isatty())
    bars = Bars(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f}  {task.fields[rate]}"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        redirect_stdout=False,
    )
    stages: list[_Stage] = []

    def begin(name: str, size: int) -> Step:
        while stages:
            stages.pop().close()
        stages.append(_Stage(name, size, bars if console.is_interactive else None, clock))
        return stages[-1].step

    try:
        yield begin
        while stages:
            stages.pop().close()
    finally:
        if bars.live.is_started:  # else rich leaves an empty line
            bars.stop()
