"""A small model and a running server for it."""

import asyncio
import contextlib

import aiohttp
import pytest
import torch
from aiohttp import web

from minimoshi.moshi import FullDuplexDialogueModel
from minimoshi.serving.server import Limits, make_server
from minimoshi.text import TextTokenizer
from tests.helpers import MOSHI, SPEECH_MIMI, small_codec, small_generator


@pytest.fixture(scope="session")
def model() -> FullDuplexDialogueModel:
    torch.manual_seed(0)
    tokenizer = TextTokenizer.from_pretrained("tiny")
    card = tokenizer.vocab_size
    config = MOSHI.replace(
        helium=MOSHI.helium.replace(text_card=card), depth=MOSHI.depth.replace(text_card=card)
    )
    return FullDuplexDialogueModel(
        codec=small_codec(SPEECH_MIMI), generator=small_generator(config), tokenizer=tokenizer
    ).requires_grad_(False)


@pytest.fixture
def running(model):
    """`running(scene, **options)`: start a server, run `await scene(http, url, server)`, stop it."""

    def run(scene, *, limit: int = 2, limits: Limits | None = None, **options):
        async def play():
            server = make_server(model, limit, limits=limits, **options)
            runner = web.AppRunner(server.application())
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            port = site._server.sockets[0].getsockname()[1]
            try:
                async with aiohttp.ClientSession() as http:
                    return await asyncio.wait_for(scene(http, f"127.0.0.1:{port}", server), 60)
            finally:
                server.engine.close()
                with contextlib.suppress(Exception):
                    await runner.cleanup()

        return asyncio.run(play())

    return run
