"""The widget: a browser that is played here, over messages as they come from one."""

import asyncio
import json
import re

import numpy as np
import pytest

from minimoshi.serving.opus import FRAME, Ears, Mouth
from minimoshi.serving.protocol import Control, Kind, Message, unpack
from minimoshi.serving.widget import _WAITING, Talk, _KernelSocket


class Browser:
    """The other end of a widget: what it sent lies in `got`, as (act, message or reason)."""

    def __init__(self, model, monkeypatch, **options):
        self.got: list[tuple[str, object]] = []
        monkeypatch.setattr(Talk, "send", self._take)
        self.widget = Talk(model, **options)

    def _take(self, content, buffers=None):
        if isinstance(content, dict) and "act" in content:
            what = unpack(bytes(buffers[0])) if buffers else content.get("reason")
            self.got.append((content["act"], what))

    def tell(self, act, data=None, number=1, **more):
        self.widget._receive(self.widget, {"act": act, "id": number} | more, [memoryview(data)] if data else [])

    def say(self, kind, payload=b"", number=1):
        self.tell("message", Message(kind, payload).pack(), number)

    def messages(self, kind):
        return [what for act, what in self.got if act == "message" and what.kind == kind]

    async def until(self, condition):
        for _ in range(2000):
            if condition():
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"it never came; got {[act for act, _ in self.got][-5:]}")


@pytest.fixture
def play(model, monkeypatch):
    """`play(scene, **options)`: run `await scene(browser)` with a widget of its own."""

    def run(scene, **options):
        async def act():
            browser = Browser(model, monkeypatch, **options)
            try:
                await asyncio.wait_for(scene(browser), 60)
            finally:
                browser.widget.close()

        asyncio.run(act())

    return run


def test_sound_goes_to_the_kernel_and_moshis_sound_comes_back(play):
    async def scene(browser):
        browser.tell("open", query="text_temperature=0&text_seed=3")
        await browser.until(lambda: browser.messages(Kind.HANDSHAKE))
        told = json.loads(browser.messages(Kind.METADATA)[0].text)
        assert told["seed"] == 3 and told["text_temperature"] == 0
        mouth, ears = Mouth(), Ears()
        for _ in range(12):
            browser.say(Kind.AUDIO, mouth(np.zeros(FRAME, np.float32)))
            await asyncio.sleep(0.03)
        await browser.until(lambda: len(browser.messages(Kind.AUDIO)) >= 6)
        heard = [pcm for message in browser.messages(Kind.AUDIO) for pcm in ears(message.payload)]
        assert len(heard) >= 4 and all(pcm.shape == (FRAME,) for pcm in heard)
        browser.say(Kind.PING)
        await browser.until(lambda: browser.messages(Kind.PING))
        browser.say(Kind.CONTROL, bytes([Control.RESTART]))
        browser.tell("close")
        await browser.until(lambda: not browser.widget._sockets)
        assert browser.widget._server.engine.taken == 0

    play(scene)


def test_a_second_conversation_is_refused_with_a_reason(play):
    async def scene(browser):
        browser.tell("open", query="")
        await browser.until(lambda: browser.messages(Kind.HANDSHAKE))
        browser.tell("open", number=2, query="")
        await browser.until(lambda: ("close", "all 1 places are taken; try again later") in browser.got)
        assert browser.messages(Kind.ERROR) and len(browser.widget._sockets) == 1

    play(scene)


@pytest.mark.parametrize(
    ("query", "data", "reason"),
    [
        ("text_temperature=hot", None, "expected a number"),
        ("", b"\x01" + bytes(200), "Ogg"),
        ("", b"\x03\x09", "one byte from 0 to 3"),
    ],
)
def test_nonsense_ends_the_conversation_with_a_reason(play, query, data, reason):
    async def scene(browser):
        browser.tell("open", query=query)
        if data:
            await browser.until(lambda: browser.messages(Kind.HANDSHAKE))
            browser.tell("message", data)
        await browser.until(lambda: browser.got and browser.got[-1][0] == "close")
        assert reason in browser.got[-1][1]
        await browser.until(lambda: not browser.widget._sockets)
        browser.tell("message", b"\x06")  # nobody is there: nothing happens

    play(scene)


def test_what_a_busy_kernel_cannot_take_is_dropped_oldest_first():
    async def act():
        socket = _KernelSocket(None, 1)
        for number in range(_WAITING + 5):
            socket.put("message", bytes([number % 256]))
        assert socket.incoming.qsize() == _WAITING
        assert (await socket.receive()).data == bytes([5])

    asyncio.run(act())


def test_all_modules_are_inside_and_find_each_other():
    text = Talk._esm
    sources, _ = json.JSONDecoder().raw_decode(text[text.index("{") :])
    assert {"conversation.js", "view.js", "worklet.js"} <= set(sources) and "notebook.js" not in sources
    for source in sources.values():
        for line in source.splitlines():
            if line.startswith(("import", "} from")):
                assert line.partition('"./')[2].removesuffix('";') in sources
    assert "body" not in Talk._css and ".minimoshi .bar" in Talk._css


def test_a_notebook_has_its_own_theme_and_not_the_systems():
    light, dark = (re.search(rf"\.minimoshi{name} {{(.*?)}}", Talk._css, re.DOTALL)[1] for name in ("", r"\.dark"))
    colours = [dict(re.findall(r"(--[\w-]+): (#\w+)", block)) for block in (light, dark)]
    assert colours[0].keys() == colours[1].keys() and colours[0]["--page"] > "#e" > "#2" > colours[1]["--page"]
    assert "prefers-color-scheme" not in Talk._css and Talk._css.count("{") == Talk._css.count("}")
