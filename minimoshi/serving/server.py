"""HTTP and WebSocket around the engine: the page, its sample questions, and `/api/chat` on the official wire.

Everything that comes in has a limit, and whoever breaks one is told why and let go; the others do not notice.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import time
from dataclasses import asdict, dataclass
from functools import partial
from importlib import resources
from urllib.parse import urlsplit

import numpy as np
from aiohttp import WSCloseCode, WSMsgType, web

from ..config import SAMPLE_RATE
from ..moshi import FullDuplexDialogueModel
from ..moshi.dialogue import Frame
from .engine import Engine, FullError, Seat
from .opus import FRAME, Ears, Mouth
from .protocol import PATH, Control, Kind, Message, read_query, unpack

OUTGOING = 12  # frames that may wait for a slow reader; the oldest is dropped and counted
_TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".flac": "audio/flac",
}


@dataclass(frozen=True)
class Limits:
    """What one client may do."""

    message: int = 1 << 16  # bytes of a message
    messages_per_second: float = 100.0
    silence: float = 10.0  # seconds without any message until the connection is closed
    minutes: float = 60.0  # of one conversation
    sockets: int = 64  # connections at once, those that wait to be refused included


class Server:
    """The web application. token: what `?token=` must be; None: anybody may come. origins: further pages allowed."""

    def __init__(
        self,
        engine: Engine,
        *,
        name: str = "tiny",
        token: str | None = None,
        origins: tuple[str, ...] = (),
        limits: Limits | None = None,
    ):
        self.engine, self.name, self.token, self.origins = engine, name, token, origins
        self.limits = limits or Limits()
        self.sockets = 0
        self.assets, self.samples = package_files("assets"), package_files("samples")
        self.questions = json.loads(self.samples.pop("samples.json", b"[]"))

    def application(self) -> web.Application:
        app = web.Application(client_max_size=0)
        app.router.add_get("/", partial(self._file, self.assets))
        app.router.add_get("/assets/{name}", partial(self._file, self.assets))
        app.router.add_get("/samples/{name}", partial(self._file, self.samples))
        app.router.add_get("/api/info", self._info)
        app.router.add_get(PATH, self._chat)
        app.on_response_prepare.append(_harden)
        return app

    async def _file(self, files: dict[str, bytes], request: web.Request) -> web.Response:
        """A file by its name alone: what is not in the table does not exist."""
        name = request.match_info.get("name", "index.html")
        if name not in files:
            raise web.HTTPNotFound()
        ending = name[name.rfind(".") :]
        return web.Response(body=files[name], content_type=_TYPES.get(ending, "application/octet-stream"))

    async def _info(self, _: web.Request) -> web.Response:
        return web.json_response(
            {
                "model": self.name,
                "sample_rate": SAMPLE_RATE,
                "frame_size": FRAME,
                "samples": [q | {"url": f"/samples/{q['file']}"} for q in self.questions],
                "sessions": {"limit": self.engine.limit, "taken": self.engine.taken},
                "token_needed": self.token is not None,
            }
        )

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        self._check_origin(request)
        if self.token is not None and not hmac.compare_digest(
            request.query.get("token", "").encode(), self.token.encode()
        ):
            raise web.HTTPForbidden(text="wrong or missing token; open the link that the server printed")
        try:
            wish = read_query(request.query, self.engine.model.sampling)
        except ValueError as error:
            raise web.HTTPBadRequest(text=str(error)) from error
        if self.sockets >= self.limits.sockets:
            raise web.HTTPServiceUnavailable(text="too many connections; try again later")
        socket = web.WebSocketResponse(max_msg_size=self.limits.message, heartbeat=None, compress=False, timeout=2.0)
        await socket.prepare(request)
        self.sockets += 1
        try:
            await Conversation(self, socket).run(wish)
        finally:
            self.sockets -= 1
        return socket

    def _check_origin(self, request: web.Request) -> None:
        """A page of somebody else's must not talk to this server through its visitor's browser."""
        origin = request.headers.get("Origin")
        if origin is None or origin in self.origins:
            return
        if urlsplit(origin).netloc != request.headers.get("Host"):
            raise web.HTTPForbidden(text=f"pages of {origin} may not use this server")


class Conversation:
    """One client from handshake to goodbye: a task that listens, a task that answers."""

    def __init__(self, server: Server, socket: web.WebSocketResponse):
        self.server, self.socket, self.limits = server, socket, server.limits
        self.loop = asyncio.get_running_loop()
        self.outgoing: asyncio.Queue[Frame] = asyncio.Queue(OUTGOING)
        self.dropped = 0  # frames that a slow reader never got
        self.paused = False
        self.began = time.monotonic()

    async def run(self, wish) -> None:
        engine = self.server.engine
        try:
            seat = engine.open(self._deliver, wish.sampling, wish.seed)
        except FullError as error:
            await self._goodbye(WSCloseCode.TRY_AGAIN_LATER, str(error))
            return
        tasks = []
        try:
            await self._send(Kind.METADATA, json.dumps(self._metadata(seat, wish)).encode())
            await self._send(Kind.HANDSHAKE)
            tasks = [asyncio.create_task(self._listen(seat)), asyncio.create_task(self._answer(seat, wish.numbers))]
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except Refused as refusal:
            await self._goodbye(refusal.code, str(refusal))
        except (ConnectionError, RuntimeError):
            pass  # the client is gone
        finally:
            engine.leave(seat)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            with contextlib.suppress(Exception):
                await self.socket.close()

    # ------------------------------------------------------------------------------------------ listening

    async def _listen(self, seat: Seat) -> None:
        ears, pace = Ears(), _Pace(self.limits.messages_per_second)
        while True:
            message = await self._receive()
            if message is None:
                return
            pace.count()
            if self.server.engine.failure:
                raise Refused(WSCloseCode.INTERNAL_ERROR, "the model has stopped working; the server must be restarted")
            if message.kind == Kind.AUDIO and not self.paused:
                try:
                    frames = ears(message.payload)
                except ValueError as error:
                    raise Refused(WSCloseCode.UNSUPPORTED_DATA, str(error)) from error
                for pcm in frames:
                    self.server.engine.hear(seat, pcm)
            elif message.kind == Kind.CONTROL:
                self._control(seat, message.payload)
            elif message.kind == Kind.PING:
                await self._send(Kind.PING)

    async def _receive(self) -> Message | None:
        """The next message; None when the client has closed."""
        left = self.limits.minutes * 60 - (time.monotonic() - self.began)
        if left <= 0:
            raise Refused(WSCloseCode.GOING_AWAY, f"a conversation lasts {self.limits.minutes:g} minutes at most")
        try:
            got = await asyncio.wait_for(self.socket.receive(), min(left, self.limits.silence))
        except asyncio.TimeoutError:
            raise Refused(
                WSCloseCode.GOING_AWAY, f"nothing came for {self.limits.silence:g} seconds; connect again"
            ) from None
        if got.type == WSMsgType.BINARY:
            try:
                return unpack(got.data)
            except ValueError as error:
                raise Refused(WSCloseCode.PROTOCOL_ERROR, str(error)) from error
        if got.type == WSMsgType.TEXT:
            raise Refused(WSCloseCode.UNSUPPORTED_DATA, "messages must be binary, their first byte the kind")
        return None

    def _control(self, seat: Seat, payload: bytes) -> None:
        if len(payload) != 1 or payload[0] not in list(Control):
            raise Refused(
                WSCloseCode.PROTOCOL_ERROR, f"a control message holds one byte from 0 to 3, got {payload[:4].hex(' ')}"
            )
        if payload[0] == Control.RESTART:
            self.server.engine.begin_again(seat)
        self.paused = payload[0] == Control.PAUSE or (self.paused and payload[0] == Control.END_TURN)

    # ------------------------------------------------------------------------------------------ answering

    def _deliver(self, frame: Frame) -> None:
        """On the engine's thread."""
        with contextlib.suppress(RuntimeError):  # the loop may be closing
            self.loop.call_soon_threadsafe(self._queue, frame)

    def _queue(self, frame: Frame) -> None:
        if self.outgoing.full():
            self.outgoing.get_nowait()
            self.dropped += 1
        self.outgoing.put_nowait(frame)

    async def _answer(self, seat: Seat, numbers: bool) -> None:
        mouth, told = Mouth(), time.monotonic()
        while True:
            frame = await self.outgoing.get()
            if pages := mouth(frame.pcm.numpy()):
                await self._send(Kind.AUDIO, pages)
            if frame.text:
                await self._send(Kind.TEXT, frame.text.encode())
            if numbers and time.monotonic() - told > 1:
                told = time.monotonic()
                await self._send(Kind.METADATA, json.dumps(self._numbers(seat)).encode())

    def _numbers(self, seat: Seat) -> dict[str, float]:
        times = np.array(seat.times or [0.0]) * 1000
        return {
            "frame_ms": round(float(np.median(times)), 2),
            "frame_ms_99": round(float(np.percentile(times, 99)), 2),
            "late": seat.late,
            "dropped": self.dropped,
            "queue": len(seat.waiting),
            "session": round(time.monotonic() - self.began, 1),
        }

    def _metadata(self, seat: Seat, wish) -> dict:
        return {"model": self.server.name, "seed": wish.seed} | asdict(wish.sampling) | self._numbers(seat)

    # ---------------------------------------------------------------------------------------------- both

    async def _send(self, kind: Kind, payload: bytes = b"") -> None:
        await self.socket.send_bytes(Message(kind, payload).pack())

    async def _goodbye(self, code: int, why: str) -> None:
        """Say why, as a message and in the closing frame."""
        with contextlib.suppress(Exception):
            await asyncio.wait_for(self._send(Kind.ERROR, why.encode()), 2)
            await asyncio.wait_for(self.socket.close(code=code, message=why.encode()[:120]), 2)


class Refused(Exception):
    """The client broke a rule: closing code and reason."""

    def __init__(self, code: int, why: str):
        super().__init__(why)
        self.code = code


class _Pace:
    """A bucket of two seconds of messages that refills at the allowed rate."""

    def __init__(self, rate: float):
        self.rate, self.left, self.last = rate, 2 * rate, time.monotonic()

    def count(self) -> None:
        now = time.monotonic()
        self.left = min(2 * self.rate, self.left + (now - self.last) * self.rate) - 1
        self.last = now
        if self.left < 0:
            raise Refused(WSCloseCode.POLICY_VIOLATION, f"more than {self.rate:g} messages a second")


def package_files(folder: str) -> dict[str, bytes]:
    """All files of a folder of this package, by name."""
    root = resources.files(__package__) / folder
    return {item.name: item.read_bytes() for item in root.iterdir() if item.is_file()} if root.is_dir() else {}


async def _harden(_: web.Request, response: web.StreamResponse) -> None:
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"  # the address may hold the token
    response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    response.headers["Cache-Control"] = "no-cache"
    response.headers["Content-Security-Policy"] = (
        "default-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self' blob:; "
        "connect-src 'self' ws: wss:; frame-ancestors 'none'"
    )


def make_server(model: FullDuplexDialogueModel, limit: int = 4, **options) -> Server:
    """A server with an engine of its own; close `server.engine` at the end."""
    return Server(Engine(model, limit), **options)
