"""The other end of the wire: a recording played to a server in real time, ours or the official one."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit

import aiohttp
import numpy as np
import torch
from torch import Tensor

from ..config import SAMPLE_RATE
from .opus import FRAME, Ears, Mouth
from .protocol import PATH, Kind, Message, unpack

SECONDS = FRAME / SAMPLE_RATE  # of a frame


@dataclass
class Call:
    """What came of it. delays: seconds from the moment a frame was sent to the moment the sound for it was back."""

    stereo: Tensor  # float [2, S]: left Moshi, right the user
    text: str
    delays: list[float] = field(default_factory=list)
    sent: int = 0  # frames
    told: list[dict] = field(default_factory=list)  # what the server said of itself, every second
    words: list[int] = field(default_factory=list)  # the frame in which each of Moshi's words began

    @property
    def back_after(self) -> np.ndarray:
        """Milliseconds from the beginning of a frame to the sound that comes back for it: the delays, and the frame.

        That sound was chosen before the frame was heard; what answers it comes in the next one, 80 ms later.
        """
        return 1e3 * (SECONDS + np.array(self.delays))

    @property
    def numbers(self) -> dict:
        """The last that the server said of itself."""
        return {key: value for numbers in self.told for key, value in numbers.items()}


def address(url: str, token: str = "", seed: int | None = None) -> str:
    """The WebSocket's address from what people type."""
    parts = urlsplit(url if "://" in url else f"ws://{url}")
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    if scheme not in ("ws", "wss") or not parts.netloc:
        raise ValueError(f"{url!r} is no server's address; it looks like ws://localhost:8998")
    query = ({"token": token} if token else {}) | {"numbers": 1}
    if seed is not None:
        query |= {"audio_seed": seed, "text_seed": seed}
    return f"{scheme}://{parts.netloc}{PATH}?{urlencode(query)}"


async def converse(
    url: str,
    wav: np.ndarray,
    silence_after: float = 4.0,
    token: str = "",
    seed: int | None = None,
    *,
    trust: bool = False,
    speed: float = 1.0,
) -> Call:
    """Speak float [S] at 24 kHz at the pace of speech and record the answer. ValueError when the server refuses."""
    frames = -(-(len(wav) + int(silence_after * SAMPLE_RATE)) // FRAME)
    user = np.zeros(frames * FRAME, np.float32)
    user[: len(wav)] = wav
    sent: list[float] = []
    got = Call(torch.zeros(2, 0), "")
    heard: list[np.ndarray] = []
    async with aiohttp.ClientSession() as http:
        try:
            socket = await http.ws_connect(address(url, token, seed), max_msg_size=0, ssl=False if trust else True)
        except aiohttp.WSServerHandshakeError as error:
            raise ValueError(f"{url} refuses: {error.status} {error.message}") from error
        except aiohttp.ClientError as error:
            raise ValueError(f"{url} does not answer: {error}") from error
        async with socket:
            await _handshake(socket, got)
            reader = asyncio.create_task(_read(socket, got, heard, sent))
            mouth, began = Mouth(), time.monotonic()
            for number, pcm in enumerate(user.reshape(-1, FRAME)):
                await asyncio.sleep(max(0.0, began + number * SECONDS / speed - time.monotonic()))
                if reader.done():
                    break
                sent.append(time.monotonic())
                await socket.send_bytes(Message(Kind.AUDIO, mouth(pcm)).pack())
            await asyncio.sleep(5 * SECONDS)
            await socket.close()
            await reader
    voice = np.concatenate(heard or [np.zeros(0, np.float32)])
    length = max(len(voice), len(user))
    sides = [np.pad(side, (0, length - len(side))) for side in (voice, user)]
    got.sent = len(sent)
    got.stereo = torch.from_numpy(np.stack(sides))
    return got


async def _handshake(socket: aiohttp.ClientWebSocketResponse, got: Call) -> None:
    """Wait for the server to listen; what it says of itself may come before."""
    async for raw in socket:
        message = unpack(raw.data)
        if message.kind == Kind.METADATA:
            got.told.append(json.loads(message.text))
        if message.kind == Kind.HANDSHAKE:
            return
        if message.kind == Kind.ERROR:
            raise ValueError(f"the server refuses: {message.text}")
    raise ValueError("the server closed the connection before the handshake")


async def _read(socket, got: Call, heard: list[np.ndarray], sent: list[float]) -> None:
    ears, lost = Ears(), 0  # frames that the server says it dropped: their answers will never come
    async for raw in socket:
        if raw.type != aiohttp.WSMsgType.BINARY:
            continue
        message = unpack(raw.data)
        if message.kind == Kind.AUDIO:
            for pcm in ears(message.payload):
                if len(heard) + lost < len(sent):
                    got.delays.append(time.monotonic() - sent[len(heard) + lost])
                heard.append(pcm)
        elif message.kind == Kind.TEXT:
            if not got.text or message.text.startswith(" "):
                got.words.append(len(heard))
            got.text = (got.text + message.text).strip()
        elif message.kind == Kind.METADATA:
            got.told.append(json.loads(message.text))
            lost = dropped(got.told[-1])
        elif message.kind == Kind.ERROR:
            raise ValueError(f"the server ended the call: {message.text}")


def dropped(numbers: dict) -> int:
    """Frames that will never be answered, by what the server says of itself."""
    return numbers.get("late", 0) + numbers.get("dropped", 0)


def delays(calls: list[Call]) -> str:
    """One line: how long a frame takes there and back."""
    all_of_them = np.array([d for call in calls for d in call.delays])
    if not len(all_of_them):
        return "no frame came back"
    late = sum(call.numbers.get("late", 0) for call in calls)
    middle, worst = (1e3 * np.percentile(all_of_them, share) for share in (50, 99))
    return f"{len(calls)} × a frame comes back after {middle:.0f} ms (99 %: {worst:.0f} ms), {late} frames were late"
