"""The load command: a real server, a real call, honest numbers."""

import asyncio
import json
import time
from itertools import groupby
from types import SimpleNamespace

import aiohttp
import numpy as np
import pytest
import torch

from minimoshi.cli import main
from minimoshi.serving.client import Call, _read
from minimoshi.serving.load import PAUSE, _row, drift, questions, serving
from minimoshi.serving.opus import FRAME, Mouth
from minimoshi.serving.protocol import Kind, Message


def call(delays, *told):
    return Call(torch.zeros(2, 0), "", delays=delays, sent=len(delays), told=list(told))


def test_it_calls_a_server_of_its_own(tmp_path, capsys):
    numbers, picture = tmp_path / "load.json", tmp_path / "load.png"
    told = ["load", "--calls", "1", "2", "--minutes", "0.04", "--json", str(numbers), "--plot", str(picture)]
    assert main(told) == 0
    said = capsys.readouterr().out
    assert "calls at once in real time" in said and "MB more for every further call" in said
    one, two = json.loads(numbers.read_text())
    assert (one["calls"], one["frames"], two["calls"], two["frames"]) == (1, 30, 2, 60)
    assert one["delay"] > 80 and one["memory"] > 50 and picture.stat().st_size > 5000
    assert main(told) == 2 and "--force" in capsys.readouterr().err
    assert main(["load", "--calls", "0"]) == 2 and "at least 1 call" in capsys.readouterr().err
    assert main(["load", "--model", str(tmp_path)]) == 2 and "did not start" in capsys.readouterr().err


def test_a_row_counts_what_was_dropped_and_adds_the_frame_itself():
    row = _row([call([0.02] * 99 + [0.5], {"frame_ms": 30.0, "late": 1, "dropped": 1})], [80.0, 90.0], 0.4)
    assert (row.calls, row.frames, row.dropped, row.memory, row.share) == (1, 100, 2, 90.0, 0.4)
    assert row.delay == pytest.approx(100) and row.delay_99 > row.delay and row.step == 30
    assert np.isnan(_row([call([])], [80.0], 0.0).delay)


def test_drift_is_seen_and_a_short_call_says_nothing():
    slower = call([0.02] * 50 + [0.06] * 50, *({"frame_ms": 10.0 + n} for n in range(20)))
    assert drift([slower], list(range(100, 120))) == (
        "from the first tenth to the last: delay 100.0 → 140.0 ms, computing 10.5 → 28.5 ms, memory 100.5 → 118.5 MB"
    )
    assert "too short" in drift([call([0.02] * 3)], [100.0])
    fallen_silent = call([0.02] * 7500)  # ten minutes, words in the first half alone
    fallen_silent.words = list(range(0, 3750, 25))
    assert drift([fallen_silent], []).endswith("words 30.0 → 0.0 a minute")


def test_questions_fill_the_time_with_pauses_between():
    wav = questions(30.0)
    assert wav.shape == (720_000,) and wav.dtype == "float32"
    silent = (abs(wav) < 1e-4).reshape(-1, 2400).all(1)
    assert silent.mean() > 0.5 and max(len(list(run)) for quiet, run in groupby(silent) if quiet) >= PAUSE / 0.1 - 1


def test_what_was_dropped_does_not_count_as_delay():
    """A frame that is never answered must not make every later answer look late."""
    mouth = Mouth()
    answers = [Message(Kind.AUDIO, mouth(np.zeros(FRAME, np.float32))) for _ in range(8)]
    told = Message(Kind.METADATA, json.dumps({"late": 3, "dropped": 1}).encode())
    text = [Message(Kind.TEXT, piece.encode()) for piece in (" hel", "lo", " anna")]

    async def socket():
        for message in [told, *answers, *text]:
            yield SimpleNamespace(type=aiohttp.WSMsgType.BINARY, data=message.pack())

    got, now = call([]), time.monotonic()
    sent = [now - 100.0] * 4 + [now - 1.0] * 20  # four were dropped long ago
    asyncio.run(_read(socket(), got, [], sent))
    assert len(got.delays) >= 6 and 1.0 <= min(got.delays) and max(got.delays) < 60
    assert got.text == "hello anna" and got.words == [len(got.delays)] * 2


def test_serving_ends_its_process():
    import psutil

    with serving() as (link, number):
        assert link.startswith("http://localhost:") and psutil.pid_exists(number)
    assert not psutil.pid_exists(number) or psutil.Process(number).status() == psutil.STATUS_ZOMBIE
