"""The official command-line client, as its own process, talks with the shipped Moshi on our server."""

import contextlib
import io
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

from minimoshi.data.miniworld import vocabulary
from minimoshi.serving.load import serving
from minimoshi.serving.server import package_files

QUESTION, ANSWER = "three-plus-four.flac", "three plus four is seven"
SECONDS = 60  # patience: a busy machine drops what comes too late, and the question is asked every six seconds


@pytest.fixture(scope="module")
def link():
    with serving() as (link, _):
        yield link


@pytest.fixture
def environment(tmp_path):
    """A sound card whose microphone hears the question every six seconds (see soundcard/sounddevice.py)."""
    question, rate = soundfile.read(io.BytesIO(package_files("samples")[QUESTION]), dtype="float32")
    turn = np.pad(question, (rate, 5 * rate - len(question)))
    soundfile.write(tmp_path / "microphone.wav", np.tile(turn, SECONDS // 6), rate)
    found = dict(PYTHONPATH=str(Path(__file__).parent / "soundcard"), PYTHONUNBUFFERED="1", NO_TORCH_COMPILE="1")
    return os.environ | found | {"MICROPHONE": str(tmp_path / "microphone.wav"), "SPEAKER": str(tmp_path / "out.wav")}


def test_the_official_client_asks_and_hears_the_answer(link, environment):
    port = re.search(r":(\d+)", link)[1]
    command = [sys.executable, "-m", "moshi.client", "--port", port]
    said = ""
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as client:
        watchdog = threading.Timer(SECONDS, client.kill)
        watchdog.start()
        try:
            while ANSWER not in said and (piece := client.stdout.read(1)):
                said += piece
            with contextlib.suppress(subprocess.TimeoutExpired):
                client.wait(3)  # the sound of the last words, and the second in which the speaker's file is written
        finally:
            watchdog.cancel()
            client.kill()
        complaints = client.stderr.read()
    assert said.split() and set(said.split()) <= set(vocabulary())
    played, rate = soundfile.read(environment["SPEAKER"], dtype="float32")
    blocks, late = len(played) / 1920, complaints.count("LAG")
    # who keeps up is answered right; a machine that has other work drops what comes too late, and hears half
    assert ANSWER in said or late > 0.05 * blocks, (said, late, blocks)
    assert complaints.count("unknown message kind") <= 2  # metadata once, and the handshake
    assert "unsupported" not in complaints and "Lost" not in complaints
    assert rate == 24_000 and 0.02 < np.abs(played).max() <= 1.0
