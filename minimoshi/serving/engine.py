"""The engine: one thread moves all conversations, those that agree on their sampling in one step.

Sound never waits for the model and the model never runs after old sound: a conversation's frames wait in a short queue,
and when it is full the oldest is dropped and counted. A conversation advances when the next 80 ms of its user are here.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch

from ..moshi import FullDuplexDialogueModel
from ..moshi.dialogue import DialogueBatch, Frame
from ..sampling import Sampling

WAITING = 5  # frames that may wait for the model: 0.4 s
PATIENCE = 0.02  # seconds that a frame waits for those of others, so that they share a step
REMEMBERED = 250  # step times in the statistics


class FullError(Exception):
    """All places are taken."""


@dataclass
class Seat:
    """One conversation's place in the engine. `hear` a frame; the answers come to `deliver`, on the engine's thread."""

    deliver: Callable[[Frame], None]
    pool: _Pool
    row: int
    waiting: deque[np.ndarray] = field(default_factory=deque)
    since: float = 0.0  # when the oldest waiting frame came
    late: int = 0  # frames dropped
    times: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED))  # seconds a step took
    seed: int | None = None
    begins: bool = True  # a new conversation begins with the next frame
    closed: bool = False


class _Pool:
    """Conversations of one sampling: the rows of a batch."""

    def __init__(self, model: FullDuplexDialogueModel, rows: int, sampling: Sampling):
        self.sampling = sampling
        self.batch = DialogueBatch(model, [None] * rows, **vars(sampling))
        self.seats: dict[int, Seat] = {}

    def free_row(self) -> int:
        return next(row for row in range(len(self.batch.words)) if row not in self.seats)


class Engine:
    """Conversations with one model, at most `limit` at a time. Use as a context manager, or `close()` it."""

    def __init__(self, model: FullDuplexDialogueModel, limit: int = 4):
        if limit < 1:
            raise ValueError(f"an engine needs room for at least 1 conversation, got {limit}")
        self.model, self.limit = model, limit
        self._pools: dict[Sampling, _Pool] = {}
        self._changed = threading.Condition()
        self._running = True
        self.failure: BaseException | None = None
        self._warm_up()
        self._thread = threading.Thread(target=self._run, name="moshi", daemon=True)
        self._thread.start()

    def _warm_up(self) -> None:
        """The first steps of a process are slow; let nobody hear them."""
        session = self.model.session(seed=0)
        for _ in range(4):
            session.step(torch.zeros(self.model.codec.frame_size))

    @property
    def taken(self) -> int:
        with self._changed:
            return sum(len(pool.seats) for pool in self._pools.values())

    def open(self, deliver: Callable[[Frame], None], sampling: Sampling | None = None, seed: int | None = None) -> Seat:
        """Begin a conversation. FullError when there is no room."""
        sampling = sampling or self.model.sampling
        with self._changed:
            if sum(len(pool.seats) for pool in self._pools.values()) >= self.limit:
                raise FullError(f"all {self.limit} places are taken; try again later")
            pool = self._pools.get(sampling)
            if pool is None:
                pool = self._pools[sampling] = _Pool(self.model, self.limit, sampling)
            seat = Seat(deliver, pool, pool.free_row(), seed=seed)
            pool.seats[seat.row] = seat
            return seat

    def hear(self, seat: Seat, pcm: np.ndarray) -> None:
        """The next 80 ms of a user, float32 [1920]."""
        with self._changed:
            if not seat.waiting:
                seat.since = time.monotonic()
            seat.waiting.append(pcm)
            if len(seat.waiting) > WAITING:
                seat.waiting.popleft()
                seat.late += 1
            self._changed.notify()

    def begin_again(self, seat: Seat) -> None:
        """The same seat, a new conversation."""
        with self._changed:
            seat.begins = True
            seat.waiting.clear()

    def leave(self, seat: Seat) -> None:
        """End a conversation; its place is free at once."""
        with self._changed:
            seat.closed = True
            seat.waiting.clear()
            seat.pool.seats.pop(seat.row, None)
            if not seat.pool.seats:
                self._pools.pop(seat.pool.sampling, None)

    def close(self) -> None:
        with self._changed:
            self._running = False
            self._changed.notify()
        self._thread.join(timeout=10)

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---------------------------------------------------------------------------------------- the thread

    def _run(self) -> None:
        try:
            while self._running:
                work = self._next_work()
                if work is not None:
                    self._step(*work)
        except BaseException as error:  # nothing moves any more; the server tells its clients
            self.failure = error
            raise

    def _next_work(self) -> tuple[_Pool, list[Seat], torch.Tensor, torch.Tensor] | None:
        """Wait until a pool has a frame of everybody, or its oldest frame has waited long enough."""
        with self._changed:
            while self._running:
                now, soonest = time.monotonic(), None
                for pool in self._pools.values():
                    ready = [seat for seat in pool.seats.values() if seat.waiting]
                    if not ready:
                        continue
                    due = min(seat.since for seat in ready) + PATIENCE
                    if len(ready) == len(pool.seats) or now >= due:
                        return self._collect(pool, ready, now)
                    soonest = due if soonest is None else min(soonest, due)
                self._changed.wait(None if soonest is None else max(0.0, soonest - now))
        return None

    def _collect(self, pool: _Pool, ready: list[Seat], now: float):
        rows, size = len(pool.batch.words), self.model.codec.frame_size
        pcm, active = torch.zeros(rows, size), torch.zeros(rows, dtype=torch.bool)
        for seat in ready:
            if seat.begins:
                pool.batch.start(seat.row, seat.seed)
                seat.begins = False
            pcm[seat.row] = torch.from_numpy(seat.waiting.popleft())
            active[seat.row] = True
            seat.since = now
        return pool, ready, pcm, active

    def _step(self, pool: _Pool, seats: list[Seat], pcm: torch.Tensor, active: torch.Tensor) -> None:
        began = time.monotonic()
        frames = pool.batch.step(pcm, active)
        took = time.monotonic() - began
        for seat in seats:
            if not seat.closed:
                seat.times.append(took)
                seat.deliver(frames[seat.row])
