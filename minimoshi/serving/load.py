"""How many conversations a machine bears, and whether a long one stays as it was: `minimoshi load`.

    minimoshi load --calls 1 2 3 4                        sessions in real time, delays, memory
    minimoshi load --calls 1 --minutes 60 --plot soak.png   an hour: does anything grow, slow down, drift?

A server of its own is started as users start it, and every call plays the sample questions to it over the loopback at
the pace of speech.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import psutil
from tqdm import tqdm

from ..audio import check_writable, load_audio
from ..config import SAMPLE_RATE
from .client import SECONDS, Call, converse, dropped

PAUSE = 4.0  # seconds after each question, for the answer
REAL_TIME = 0.001  # share of the frames that may be dropped


@dataclass(frozen=True)
class Row:
    """What came of so many calls at once. Delays in ms, from the beginning of a frame to the sound back for it."""

    calls: int
    frames: int
    dropped: int
    delay: float
    delay_99: float
    step: float  # ms of computing a frame, median of all that the server told
    memory: float  # MB of the server at the end
    share: float  # of one core


def run(options: argparse.Namespace) -> None:
    if min(options.calls) < 1 or options.minutes <= 0:
        raise ValueError(f"expected at least 1 call of more than 0 minutes, got {options.calls}, {options.minutes}")
    for path in filter(None, (options.plot, options.json)):
        check_writable(Path(path), options.force)
    rows, memory = [], []
    wav = questions(options.minutes * 60)
    limits = ("--sessions", str(max(options.calls)), "--minutes", str(options.minutes + 1))
    with serving(options.model, *limits) as (url, number):
        process = psutil.Process(number)
        print("calls  frames  dropped  back after: median     99 %   computing a frame   memory  of a core")
        for calls in options.calls:
            results, memory, share = asyncio.run(_together(url, wav, calls, process))
            rows.append(_row(results, memory, share))
            print(_line(rows[-1]), flush=True)
    good = [row.calls for row in rows if row.dropped <= REAL_TIME * row.frames]
    print(f"{max(good, default=0)} of {max(options.calls)} calls at once in real time")
    if len(rows) > 1:
        grown = (rows[-1].memory - rows[0].memory) / max(1, rows[-1].calls - rows[0].calls)
        print(f"{grown:.1f} MB more for every further call")
    print(drift(results, memory))
    if options.json:
        told = json.dumps([asdict(row) for row in rows], indent=1)
        Path(options.json).write_text(told + "\n", encoding="utf-8")
    if options.plot:
        _plot(results, memory, Path(options.plot))


def questions(seconds: float) -> np.ndarray:
    """The sample questions one after the other with pauses, again and again: float32 [S]."""
    files = sorted((Path(__file__).parent / "samples").glob("*.flac"))
    pause = np.zeros(round(PAUSE * SAMPLE_RATE), np.float32)
    turn = np.concatenate([part for file in files for part in (load_audio(file)[0].numpy(), pause)])
    return np.resize(turn, round(seconds * SAMPLE_RATE))


@contextlib.contextmanager
def serving(model: str = "tiny", *options: str) -> Iterator[tuple[str, int]]:
    """`minimoshi serve` in a process of its own, as users start it: its link and the number of the process."""
    with contextlib.closing(socket.socket()) as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "minimoshi", "serve", "--model", model, "--port", str(port), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            told = process.stdout.readline()
            link = re.search(r"http://\S+", told)
            if link is None:
                raise ValueError(f"`minimoshi serve --model {model}` did not start; it printed {told.strip()!r}")
            yield link[0], process.pid
        finally:
            process.terminate()


async def _together(
    url: str, wav: np.ndarray, calls: int, process: psutil.Process
) -> tuple[list[Call], list[float], float]:
    """So many calls at once; the server's memory in MB every second, and the share of a core that it used."""
    talks = [asyncio.create_task(converse(url, wav, 0.0, seed=n)) for n in range(calls)]
    memory, seconds = [], round(len(wav) / SAMPLE_RATE)
    used = sum(process.cpu_times()[:2])
    with tqdm(total=seconds, desc=f"{calls} calls", unit="s", leave=False) as bar:
        while not all(talk.done() for talk in talks):
            await asyncio.wait(talks, timeout=1.0)
            memory.append(process.memory_info().rss / 1e6)
            bar.update(min(1, seconds - bar.n))
    share = (sum(process.cpu_times()[:2]) - used) / (len(wav) / SAMPLE_RATE)
    return [talk.result() for talk in talks], memory, share


def _row(results: list[Call], memory: list[float], share: float) -> Row:
    delays = np.concatenate([call.back_after for call in results])
    delays = delays if len(delays) else np.array([np.nan])  # nothing came back
    steps = [numbers["frame_ms"] for call in results for numbers in call.told]
    return Row(
        calls=len(results),
        frames=sum(call.sent for call in results),
        dropped=sum(dropped(call.numbers) for call in results),
        delay=float(np.median(delays)),
        delay_99=float(np.percentile(delays, 99)),
        step=float(np.median(steps)) if steps else float("nan"),
        memory=memory[-1],
        share=share,
    )


def _line(row: Row) -> str:
    return (
        f"{row.calls:5d}  {row.frames:6d}  {row.dropped:7d}  {row.delay:17.0f} ms {row.delay_99:6.0f} ms"
        f"  {row.step:14.1f} ms  {row.memory:6.0f} MB  {row.share:8.0%}"
    )


def drift(results: list[Call], memory: list[float]) -> str:
    """The first tenth of a call beside the last: delay, computing, memory, and how much Moshi says."""
    delays = results[0].back_after
    steps = np.array([numbers["frame_ms"] for numbers in results[0].told])
    pairs = []
    for name, values, unit in (("delay", delays, "ms"), ("computing", steps, "ms"), ("memory", memory, "MB")):
        tenth = max(1, len(values) // 10)
        if len(values) >= 10:
            pairs.append(f"{name} {np.median(values[:tenth]):.1f} → {np.median(values[-tenth:]):.1f} {unit}")
    if (tenth := len(delays) // 10) and results[0].words:
        words, minutes = np.array(results[0].words), tenth * SECONDS / 60
        first, last = ((words < tenth).sum(), (words >= len(delays) - tenth).sum())
        pairs.append(f"words {first / minutes:.1f} → {last / minutes:.1f} a minute")
    return "from the first tenth to the last: " + (", ".join(pairs) or "too short a call to say")


def _plot(results: list[Call], memory: list[float], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 6), layout="constrained")
    delay, step, used = figure.subplots(3, sharex=True)
    for call in results:
        times = np.arange(len(call.delays)) * SECONDS / 60
        delay.plot(times, call.back_after, lw=0.4)
        told = [(numbers["session"] / 60, numbers["frame_ms"], numbers["frame_ms_99"]) for numbers in call.told]
        if told:
            minutes, median, slow = zip(*told, strict=True)
            step.plot(minutes, median, label="median of the last 20 s")
            step.plot(minutes, slow, lw=0.6, label="99 %")
    step.legend()
    used.plot(np.arange(len(memory)) / 60, memory)
    for axis, label in ((delay, "a frame is back after (ms)"), (step, "computing a frame (ms)"), (used, "memory (MB)")):
        axis.set_ylabel(label)
        axis.set_ylim(0, 1.15 * max(1, axis.dataLim.y1))
        axis.grid(alpha=0.3)
    used.set_xlabel("minutes")
    figure.savefig(path, dpi=120)
