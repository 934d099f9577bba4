"""Talk with Moshi inside a notebook: the page of `minimoshi serve` as a widget, with the kernel as its server.

The browser's microphone goes to the kernel, and Moshi's sound comes back, by the widget's own messages, which pass
wherever the notebook itself works: JupyterLab, remote kernels included. The wire and the rules are the server's.

A kernel may take these messages in one thread or another, and a cell may keep its main thread busy, so conversations
run on a thread of their own.
"""

from __future__ import annotations

import asyncio
import json
import threading
from urllib.parse import parse_qsl

import anywidget
import traitlets
from aiohttp import WSCloseCode, WSMessage, WSMsgType

from ..moshi import FullDuplexDialogueModel
from .protocol import read_query
from .server import Conversation, Limits, Server, make_server, package_files

_MAIN = "notebook.js"
_DARK = "@media (prefers-color-scheme: dark) {"
_SOURCES = "const SOURCES = {};"
_WAITING = 256  # messages of a browser that the kernel may be behind, ten seconds; a cell may have kept it busy
_LIMITS = Limits(messages_per_second=1000.0, silence=120.0)  # what waited behind a cell comes all at once


def _script() -> str:
    """The module `notebook.js` with the text of all others inside."""
    files = package_files("assets")
    sources = {name: files[name].decode() for name in files if name.endswith(".js") and name not in ("app.js", _MAIN)}
    return files[_MAIN].decode().replace(_SOURCES, f"const SOURCES = {json.dumps(sources)};")


def _style() -> str:
    """The page's style without what is for a whole page."""
    text = package_files("assets")["style.css"].decode()
    colours, worn = text.split("/* everything below is also worn in a notebook */")
    start = colours.index("body,\n.minimoshi {")
    end = colours.index("\nbody {\n")
    light, dark = colours[start:end].replace("  body,\n", "").replace("body,\n", "").split(_DARK)
    dark = dark.replace(".minimoshi {", ".minimoshi.dark {").rstrip().removesuffix("}")  # notebook.js says when
    own = ".minimoshi { padding: 1rem; background: var(--page); }"
    return "".join([light, dark, own, worn])


class Talk(anywidget.AnyWidget):
    """A conversation in a cell's output. Show it by naming it; `close()` it to stop its engine."""

    _esm = _script()
    _css = _style()
    samples = traitlets.List(help="questions to play: {name, text}").tag(sync=True)
    sounds = traitlets.List(help="their sounds, FLAC").tag(sync=True)

    def __init__(self, model: FullDuplexDialogueModel, limit: int = 1, name: str = "tiny"):
        self._server: Server = make_server(model, limit, name=name, limits=_LIMITS)
        files, questions = self._server.samples, self._server.questions
        self._sockets: dict[int, _KernelSocket] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="talk", daemon=True)
        self._thread.start()
        super().__init__(
            samples=[{"name": q["name"], "text": q["text"]} for q in questions],
            sounds=[files[q["file"]] for q in questions],
        )
        self.on_msg(self._receive)

    def _receive(self, _: Talk, content: dict, buffers: list) -> None:
        data = bytes(buffers[0]) if buffers else b""
        self._loop.call_soon_threadsafe(self._take, content.get("id"), content.get("act"), content.get("query"), data)

    def _take(self, number: int, act: str, query: str | None, data: bytes) -> None:
        if act == "open":
            self._sockets[number] = socket = _KernelSocket(self, number)
            socket.task = self._loop.create_task(self._converse(socket, query or ""))
        elif number in self._sockets:
            self._sockets[number].put(act, data)

    async def _converse(self, socket: _KernelSocket, query: str) -> None:
        try:
            wish = read_query(dict(parse_qsl(query)), self._server.engine.model.sampling)
            socket.tell("open")
            await Conversation(self._server, socket).run(wish)
        except ValueError as error:
            await socket.close(code=WSCloseCode.POLICY_VIOLATION, message=str(error).encode())
        finally:
            self._sockets.pop(socket.number, None)

    def close(self) -> None:
        """End the conversations, and the engine with them."""
        if self._loop.is_running():
            asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(timeout=10)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(timeout=10)
            self._loop.close()
            self._server.engine.close()
        super().close()

    async def _end(self) -> None:
        tasks = [socket.task for socket in self._sockets.values()]
        for socket in self._sockets.values():
            socket.put("close", b"")
        await asyncio.gather(*tasks, return_exceptions=True)


class _KernelSocket:
    """As much of aiohttp's WebSocketResponse as a `Conversation` uses, over the messages of a widget."""

    def __init__(self, widget: Talk, number: int):
        self.widget, self.number = widget, number
        self.incoming: asyncio.Queue[WSMessage] = asyncio.Queue(_WAITING)
        self.task: asyncio.Task | None = None
        self.closed = False

    def put(self, act: str, data: bytes) -> None:
        """From the browser. When too much waits, the oldest is dropped, as late sound is everywhere."""
        if self.incoming.full():
            self.incoming.get_nowait()
        kind = WSMsgType.BINARY if act == "message" else WSMsgType.CLOSE
        self.incoming.put_nowait(WSMessage(kind, data, None))

    def tell(self, act: str, data: bytes | None = None, **more: object) -> None:
        """To the browser."""
        self.widget.send({"act": act, "id": self.number} | more, buffers=None if data is None else [data])

    async def receive(self) -> WSMessage:
        return await self.incoming.get()

    async def send_bytes(self, data: bytes) -> None:
        if self.closed:
            raise ConnectionError("the browser has closed the conversation")
        self.tell("message", data)

    async def close(self, *, code: int = WSCloseCode.OK, message: bytes = b"") -> None:
        if not self.closed:
            self.closed = True
            self.tell("close", code=int(code), reason=message.decode(errors="replace"))


def talk(model: FullDuplexDialogueModel | None = None) -> Talk:
    """A conversation with a model (default: the shipped tiny one), to be shown in a notebook."""
    return Talk(model or FullDuplexDialogueModel.from_pretrained("tiny"))
