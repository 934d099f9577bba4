"""A server without a model for the page's tests: the wire, with an echo in Moshi's place."""

import asyncio
import io
import json
import threading
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import soundfile
import sphn
from aiohttp import WSMsgType, web

import minimoshi.serving

ASSETS = Path(minimoshi.serving.__file__).parent / "assets"
RATE, FRAME = 24_000, 1920
DELAY = 12  # frames after which the echo comes, 0.96 s
WORDS = 10  # frames between words
TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
SECURITY = (
    "default-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self' blob:; "
    "connect-src 'self' ws: wss:; frame-ancestors 'none'"
)
HANDSHAKE, AUDIO, TEXT, CONTROL, METADATA, ERROR, PING = (bytes([kind]) for kind in range(7))


def tone(seconds: float, rate: int = RATE) -> np.ndarray:
    """Float32 [S]: a sound that resembles itself at no other time than now."""
    time = np.arange(int(seconds * rate)) / rate
    return (0.3 * np.sin(2 * np.pi * (300 * time + 250 * time**2))).astype(np.float32)


def wav(pcm: np.ndarray, rate: int = RATE) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, pcm, rate, format="WAV")
    return file.getvalue()


class Stub:
    """Serves in a thread of its own. What it heard lies in `heard`, `controls` and `queries`, one per connection.

    `mood`: "echo", "full" (refuses with 1013), "locked" (403 to all), "slow" (no handshake), "mute" (no sound).
    """

    def __init__(self) -> None:
        self.reset()
        started: Future[int] = Future()
        self.thread = threading.Thread(target=lambda: asyncio.run(self._serve(started)), daemon=True)
        self.thread.start()
        self.port = started.result(timeout=20)

    def reset(self) -> None:
        self.mood, self.token_needed = "echo", False
        self.heard: list[np.ndarray] = [np.zeros(0, np.float32)]
        self.controls: list[int] = []
        self.queries: list[dict[str, str]] = []

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.stopped.set)
        self.thread.join(timeout=20)

    async def _serve(self, started: Future) -> None:
        self.loop, self.stopped = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application()
        app.router.add_get("/", self._asset)
        app.router.add_get("/assets/{name}", self._asset)
        app.router.add_get("/samples/tone.wav", self._sound)
        app.router.add_get("/api/info", self._info)
        app.router.add_get("/api/chat", self._chat)
        runner = web.AppRunner(app, shutdown_timeout=1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        started.set_result(site._server.sockets[0].getsockname()[1])
        await self.stopped.wait()
        await runner.cleanup()

    async def _asset(self, request: web.Request) -> web.Response:
        headers = {"Content-Security-Policy": SECURITY}
        path = ASSETS / request.match_info.get("name", "index.html")
        return web.Response(body=path.read_bytes(), content_type=TYPES[path.suffix], headers=headers)

    async def _sound(self, _: web.Request) -> web.Response:
        return web.Response(body=wav(np.pad(tone(0.4), (0, RATE // 2))), content_type="audio/wav")

    async def _info(self, _: web.Request) -> web.Response:
        questions = ["what is three plus four", "count to nine", "stop", "what is the opposite of hot", "hello there"]
        samples = [{"name": text.split()[0], "text": text, "url": "/samples/tone.wav"} for text in questions]
        info = {"model": "echo", "frame_size": FRAME, "sample_rate": RATE, "samples": samples}
        return web.json_response(info | {"sessions": {"limit": 1}, "token_needed": self.token_needed})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        self.queries.append(dict(request.query))
        assert self.queries[-1].pop("numbers") == "1"  # the page shows the server's figures, so it asks for them
        if self.mood == "locked":
            raise web.HTTPForbidden(text="wrong token")
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        if self.mood == "full":
            await socket.send_bytes(ERROR + b"all 1 places are taken; try again later")
            await socket.close(code=1013)
            return socket
        if self.mood != "slow":
            await socket.send_bytes(METADATA + json.dumps({"temperature": 0.6, "text_temperature": 0.5}).encode())
            await socket.send_bytes(HANDSHAKE)
        self.heard.append(np.zeros(0, np.float32))
        await self._converse(socket)
        return socket

    async def _converse(self, socket: web.WebSocketResponse) -> None:
        reader, writer = sphn.OpusStreamReader(RATE), sphn.OpusStreamWriter(RATE)
        fresh = np.zeros(0, np.float32)
        waiting, frames = [np.zeros(FRAME, np.float32)] * DELAY, 0
        async for message in socket:
            assert message.type == WSMsgType.BINARY
            kind, payload = message.data[:1], message.data[1:]
            if kind == PING:
                await socket.send_bytes(PING)
            elif kind == CONTROL:
                self.controls.extend(payload)
            elif kind == AUDIO:
                fresh = np.concatenate([fresh, reader.append_bytes(payload)])
            while len(fresh) >= FRAME:
                self.heard[-1] = np.concatenate([self.heard[-1], fresh[:FRAME]])
                waiting.append(fresh[:FRAME])
                fresh, frames = fresh[FRAME:], frames + 1
                if self.mood != "mute":
                    await self._answer(socket, writer.append_pcm(waiting.pop(0)), frames)

    async def _answer(self, socket: web.WebSocketResponse, pages: bytes, frames: int) -> None:
        await socket.send_bytes(AUDIO + pages)
        if frames % WORDS == 0:
            await socket.send_bytes(TEXT + b" sev")
            await socket.send_bytes(TEXT + b"en")
        if frames % WORDS == 1:
            numbers = {"frame_ms": 17.5, "frame_ms_99": 40.0, "late": 3, "queue": 0, "session": frames * 0.08}
            await socket.send_bytes(METADATA + json.dumps(numbers).encode())
