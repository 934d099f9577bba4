"""One thread, several conversations: the same answers as alone, bounded queues, places that become free."""

import threading
import time

import numpy as np
import pytest
import torch

from minimoshi.sampling import Sampling
from minimoshi.serving import engine as engine_module
from minimoshi.serving.engine import WAITING, Engine, FullError

GREEDY = Sampling(temperature=0, text_temperature=0)


def speech(frames: int, seed: int) -> np.ndarray:
    return (0.3 * np.random.default_rng(seed).standard_normal((frames, 1920))).astype(np.float32)


def talk(engine: Engine, pcm: np.ndarray, frames: list, seat=None, sampling=GREEDY):
    """Say it frame by frame, each after the answer to the last."""
    answered = threading.Semaphore(0)

    def deliver(frame):
        frames.append(frame)
        answered.release()

    seat = seat or engine.open(deliver, sampling, seed=0)
    for frame in pcm:
        engine.hear(seat, frame)
        assert answered.acquire(timeout=20)
    return seat


def alone(model, pcm: np.ndarray) -> list:
    session = model.session(seed=0, temperature=0, text_temperature=0)
    return [session.step(torch.from_numpy(frame)) for frame in pcm]


def test_conversations_side_by_side_are_what_they_are_alone(model):
    sounds = [speech(8, seed) for seed in range(2)]
    found: list[list] = [[], []]
    with Engine(model, 2) as engine:
        threads = [threading.Thread(target=talk, args=(engine, s, f)) for s, f in zip(sounds, found, strict=True)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for sound, frames in zip(sounds, found, strict=True):
        for own, wanted in zip(frames, alone(model, sound), strict=True):
            assert own.token == wanted.token and torch.allclose(own.pcm, wanted.pcm, atol=1e-4)


def test_places_are_limited_and_become_free(model):
    with Engine(model, 1) as engine:
        seat = engine.open(lambda frame: None)
        with pytest.raises(FullError, match="all 1 places are taken"):
            engine.open(lambda frame: None, GREEDY)
        engine.leave(seat)
        assert engine.taken == 0
        frames: list = []
        talk(engine, speech(3, 0), frames)
        assert len(frames) == 3 and engine.taken == 1


def test_a_slow_model_drops_the_oldest_and_counts_them(model, monkeypatch):
    held = threading.Event()
    step = engine_module.DialogueBatch.step

    def slow(self, *args):
        held.wait(20)
        return step(self, *args)

    monkeypatch.setattr(engine_module.DialogueBatch, "step", slow)
    frames: list = []
    with Engine.__new__(Engine) as engine:
        monkeypatch.setattr(Engine, "_warm_up", lambda self: None)
        engine.__init__(model, 1)
        seat = engine.open(frames.append, GREEDY, seed=0)
        for frame in speech(1, 0):
            engine.hear(seat, frame)
        time.sleep(0.2)  # the first frame is being worked on
        for frame in speech(WAITING + 7, 1):
            engine.hear(seat, frame)
        assert seat.late == 7 and len(seat.waiting) == WAITING
        held.set()
        deadline = time.monotonic() + 20
        while len(frames) < 1 + WAITING and time.monotonic() < deadline:
            time.sleep(0.01)
    assert len(frames) == 1 + WAITING


def test_beginning_again_forgets(model):
    sound = speech(4, 3)
    first: list = []
    with Engine(model, 1) as engine:
        answered = threading.Semaphore(0)

        def deliver(frame):
            first.append(frame)
            answered.release()

        seat = engine.open(deliver, GREEDY, seed=0)
        for _ in range(2):
            for frame in sound:
                engine.hear(seat, frame)
                assert answered.acquire(timeout=20)
            engine.begin_again(seat)
    assert [f.token for f in first[:4]] == [f.token for f in first[4:]]
    assert all(torch.allclose(a.pcm, b.pcm, atol=1e-5) for a, b in zip(first[:4], first[4:], strict=True))


def test_an_engine_needs_room(model):
    with pytest.raises(ValueError, match="at least 1 conversation"):
        Engine(model, 0)
