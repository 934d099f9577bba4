"""The server as its clients meet it: official ones, ours, rude ones."""

import asyncio
import json

import aiohttp
import numpy as np
import pytest

from minimoshi.cli import main
from minimoshi.serving import command
from minimoshi.serving.client import address, converse
from minimoshi.serving.opus import FRAME, Mouth
from minimoshi.serving.protocol import Kind, Message, unpack
from minimoshi.serving.server import Limits

SILENCE = np.zeros(6 * FRAME, np.float32)


async def connect(http: aiohttp.ClientSession, url: str) -> aiohttp.ClientWebSocketResponse:
    return await http.ws_connect(f"ws://{url}/api/chat")


async def until(socket, kind: Kind) -> Message:
    while True:
        raw = await socket.receive(timeout=20)
        assert raw.type == aiohttp.WSMsgType.BINARY, (raw.type, raw.data, raw.extra)
        message = unpack(raw.data)
        if message.kind == kind:
            return message


async def goodbye(socket) -> tuple[int, str]:
    """(closing code, reason), whatever was said before."""
    while True:
        raw = await socket.receive(timeout=20)
        if raw.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSING):
            return socket.close_code, raw.extra or ""


async def empty(server) -> bool:
    """Whether everybody's place becomes free."""
    for _ in range(100):
        if server.engine.taken == 0:
            return True
        await asyncio.sleep(0.05)
    return False


def test_a_call_is_answered_frame_by_frame(running):
    async def scene(http, url, server):
        call = await converse(url, SILENCE, silence_after=0.4, seed=1)
        assert call.stereo.shape[0] == 2 and len(call.delays) >= 5
        assert call.numbers["late"] < 3 and await empty(server)
        return call

    assert running(scene).numbers["model"] == "tiny"


def test_the_steps_of_the_official_python_client(running):
    """As moshi.client does it: no wait for a handshake, audio messages of one frame each, kinds 1 and 2 come back."""

    async def scene(http, url, server):
        socket = await connect(http, url)
        writer, kinds = Mouth(), set()
        for _ in range(8):
            await socket.send_bytes(b"\x01" + writer(np.zeros(FRAME, np.float32)))
        for _ in range(8):
            kinds.add(unpack((await socket.receive(timeout=20)).data).kind)
        await socket.close()
        return kinds

    assert {Kind.HANDSHAKE, Kind.AUDIO} <= running(scene)


def test_the_page_its_parts_and_nothing_else(running):
    async def scene(http, url, server):
        info = await (await http.get(f"http://{url}/api/info")).json()
        assert info["frame_size"] == FRAME and info["sessions"] == {"limit": 2, "taken": 0}
        for sample in info["samples"]:
            got = await http.get(f"http://{url}{sample['url']}")
            assert got.status == 200 and (await got.read())[:4] == b"fLaC"
        for path in ("/samples/samples.json", "/assets/../server.py", "/assets/%2e%2e%2fserver.py", "/etc/passwd"):
            assert (await http.get(f"http://{url}{path}")).status == 404
        assert (await http.post(f"http://{url}/api/info")).status == 405

    running(scene)


@pytest.mark.parametrize(
    "send, why",
    [
        (lambda s: s.send_str("hello"), "binary"),
        (lambda s: s.send_bytes(b""), "at least one byte"),
        (lambda s: s.send_bytes(b"\x01" + bytes(200)), "Ogg-Opus"),
        (lambda s: s.send_bytes(b"\x03\x09"), "control message"),
    ],
)
def test_rude_messages_are_answered_and_the_others_go_on(running, send, why):
    async def scene(http, url, server):
        calm = asyncio.create_task(converse(url, SILENCE, silence_after=0.4))
        rude = await connect(http, url)
        await until(rude, Kind.HANDSHAKE)
        await send(rude)
        error = await until(rude, Kind.ERROR)
        await goodbye(rude)
        call = await calm
        assert len(call.delays) >= 5 and await empty(server)
        return error.text

    assert why in running(scene)


def test_too_large_too_many_too_long(running):
    async def scene(http, url, server):
        large = await connect(http, url)
        await until(large, Kind.HANDSHAKE)
        await large.send_bytes(bytes(100_000))
        code, _ = await goodbye(large)
        assert code == 1009
        hasty = await connect(http, url)
        await until(hasty, Kind.HANDSHAKE)
        for _ in range(120):
            await hasty.send_bytes(b"\x06")
        assert "messages a second" in (await until(hasty, Kind.ERROR)).text
        silent = await connect(http, url)
        await until(silent, Kind.HANDSHAKE)
        assert "nothing came" in (await until(silent, Kind.ERROR)).text

    running(scene, limits=Limits(message=65_536, messages_per_second=20, silence=0.5))


def test_a_full_server_says_so_and_a_vanished_client_makes_room(running):
    async def scene(http, url, server):
        first = await connect(http, url)
        await until(first, Kind.HANDSHAKE)
        second = await connect(http, url)
        assert "all 1 places are taken" in (await until(second, Kind.ERROR)).text
        assert (await goodbye(second))[0] == 1013
        first._response.connection.transport.abort()  # gone without a word
        assert await empty(server)
        third = await connect(http, url)
        await until(third, Kind.HANDSHAKE)

    running(scene, limit=1)


def test_strangers_are_refused(running):
    async def scene(http, url, server):
        for path, headers, status in (
            ("?token=wrong", {}, 403),
            ("", {}, 403),
            ("?token=öß", {}, 403),
            ("?token=secret", {"Origin": "http://evil.example"}, 403),
            ("?token=secret&audio_topk=none", {}, 400),
        ):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await http.ws_connect(f"ws://{url}/api/chat{path}", headers=headers)
            assert refused.value.status == status
        await http.ws_connect(f"ws://{url}/api/chat?token=secret", headers={"Origin": f"http://{url}"})
        with pytest.raises(ValueError, match="refuses: 403"):
            await converse(url, SILENCE)

    running(scene, token="secret")


def test_pause_and_restart(running):
    async def scene(http, url, server):
        socket, mouth = await connect(http, url), Mouth()
        await until(socket, Kind.HANDSHAKE)
        for control in (2, 0, 3):
            await socket.send_bytes(bytes([Kind.CONTROL, control]))
        await socket.send_bytes(b"\x01" + mouth(SILENCE[:FRAME]))
        await socket.send_bytes(b"\x01" + mouth(SILENCE[:FRAME]))
        await until(socket, Kind.AUDIO)
        await socket.send_bytes(bytes([77, 1, 2]))  # kinds nobody knows are left out
        await socket.send_bytes(b"\x06")
        await until(socket, Kind.PING)

    running(scene)


def test_a_broken_model_is_owned_up_to(running):
    async def scene(http, url, server):
        socket = await connect(http, url)
        await until(socket, Kind.HANDSHAKE)
        server.engine.failure = RuntimeError("out of memory")
        await socket.send_bytes(b"\x06")
        assert "stopped working" in (await until(socket, Kind.ERROR)).text
        assert (await goodbye(socket))[0] == 1011

    running(scene)


def test_a_storm_of_noise_leaves_the_server_standing(running):
    """Random messages from many clients, Opus pages cut and shuffled among them; then somebody just talks."""

    async def scene(http, url, server):
        rng, mouth = np.random.default_rng(0), Mouth()
        pages = [mouth(SILENCE[:FRAME]) for _ in range(4)]
        for _ in range(25):
            socket = await connect(http, url)
            for _ in range(rng.integers(1, 6)):
                page = pages[rng.integers(len(pages))]
                noise = (rng.bytes(int(rng.integers(0, 60))), page[: rng.integers(1, len(page))], page)
                kind = int(rng.choice([0, 1, 1, 1, 2, 3, 4, 6, 255]))
                await socket.send_bytes(bytes([kind]) + noise[rng.integers(3)])
            await socket.close()
        assert await empty(server)
        call = await converse(url, SILENCE, silence_after=0.4)
        assert len(call.delays) >= 5 and server.engine.failure is None

    running(scene, limits=Limits(messages_per_second=1000))


def test_addresses():
    assert address("localhost:8998") == "ws://localhost:8998/api/chat?numbers=1"
    found = address("https://moshi.example", "a b", 3)
    assert found == "wss://moshi.example/api/chat?token=a+b&numbers=1&audio_seed=3&text_seed=3"
    with pytest.raises(ValueError, match="is no server's address"):
        address("ftp://x")


@pytest.mark.parametrize(
    "arguments, why",
    [
        (["--host", "0.0.0.0"], "--token"),
        (["--host", "0.0.0.0", "--token", "x"], "--ssl"),
        (["--model", "huge"], "huge"),
    ],
)
def test_exposure_has_its_price(arguments, why, capsys):
    assert main(["serve", *arguments]) == 2
    assert why in capsys.readouterr().err


def test_a_certificate_is_made_once_and_half_of_one_is_refused(tmp_path):
    pytest.importorskip("trustme", reason="making certificates needs trustme (the extra 'serve')")
    folder = tmp_path / "ssl"
    command.certificate(folder, "localhost")
    first = (folder / "cert.pem").read_bytes()
    assert (folder / "key.pem").stat().st_mode & 0o077 == 0
    command.certificate(folder, "localhost")
    assert (folder / "cert.pem").read_bytes() == first
    (folder / "key.pem").unlink()
    with pytest.raises(FileNotFoundError, match="only one of"):
        command.certificate(folder, "localhost")


def test_the_questions_that_ship_are_described():
    from minimoshi.serving.server import package_files

    files = package_files("samples")
    rows = json.loads(files["samples.json"])
    assert {row["file"] for row in rows} | {"samples.json"} == set(files)
    assert all(row["text"] and row["name"] for row in rows)
