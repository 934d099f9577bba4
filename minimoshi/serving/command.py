"""`minimoshi serve` and `minimoshi call`."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import secrets
import ssl
from pathlib import Path

LOCAL = ("localhost", "127.0.0.1", "::1")
_HELP = "the live server needs aiohttp, sphn and psutil: pip install 'minimoshi[serve]'"


def add_serve_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="tiny", help="a shipped name or a folder (default tiny)")
    parser.add_argument("--host", default="localhost", help="where to listen; beyond localhost see --token, --ssl")
    parser.add_argument("--port", type=int, default=8998, help="default 8998, as the official server")
    parser.add_argument("--sessions", type=int, default=2, metavar="N", help="conversations at once (default 2)")
    parser.add_argument("--token", help='who does not know it is refused; "new" makes one')
    parser.add_argument("--ssl", metavar="FOLDER", help="key.pem and cert.pem; made and self-signed when missing")
    parser.add_argument("--insecure", action="store_true", help="beyond localhost without encryption")
    parser.add_argument("--origin", action="append", default=[], metavar="URL", help="further pages that may connect")
    parser.add_argument("--minutes", type=float, default=60.0, help="longest conversation (default 60)")


def add_call_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("url", metavar="URL", help="for example ws://localhost:8998, ours or the official server's")
    parser.add_argument("input", metavar="IN", help="what the user says (WAV, FLAC, OGG, MP3)")
    parser.add_argument("output", metavar="OUT", help="stereo sound, left Moshi, right the user; words beside it")
    parser.add_argument("--token", default="")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--silence-after", type=float, default=6.0, metavar="S", help="for Moshi to finish (default 6)")
    parser.add_argument("--copies", type=int, default=1, metavar="N", help="so many calls at once, with their delays")
    parser.add_argument("--trust", action="store_true", help="accept a self-signed certificate")
    parser.add_argument("--resample", action="store_true", help="convert a file that is not sampled at 24 kHz")
    parser.add_argument("--force", action="store_true", help="overwrite files that exist")


def add_load_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="tiny", help="a shipped name or a folder (default tiny)")
    parser.add_argument("--calls", type=int, nargs="+", default=[1, 2, 3, 4], metavar="N", help="at once (1 2 3 4)")
    parser.add_argument("--minutes", type=float, default=0.5, help="of each call (default 0.5)")
    parser.add_argument("--plot", metavar="PNG", help="delay, computing and memory over the time of the last calls")
    parser.add_argument("--json", metavar="FILE", help="the numbers, as a file too")
    parser.add_argument("--force", action="store_true", help="overwrite files that exist")


def check_exposure(options: argparse.Namespace) -> None:
    """Beyond this machine only with a token, and encrypted unless asked otherwise."""
    if options.host in LOCAL:
        return
    if not options.token:
        raise ValueError(f"--host {options.host} lets others in: add --token new (or a word of yours)")
    if not options.ssl and not options.insecure:
        raise ValueError(
            f"--host {options.host} without encryption lets others listen, and browsers give no microphone to it: "
            "add --ssl FOLDER, or --insecure if you know what you do"
        )


def serve(options: argparse.Namespace) -> None:
    try:
        from aiohttp import web

        from .server import Limits, make_server
    except ImportError as error:
        raise ImportError(_HELP) from error
    import torch

    from ..moshi import FullDuplexDialogueModel

    check_exposure(options)
    torch.set_num_threads(1)  # small matrices: one thread is the fastest
    model = FullDuplexDialogueModel.from_pretrained(options.model)
    token = secrets.token_urlsafe(16) if options.token == "new" else options.token
    context = certificate(Path(options.ssl), options.host) if options.ssl else None
    server = make_server(
        model,
        options.sessions,
        name=options.model,
        token=token,
        origins=tuple(options.origin),
        limits=Limits(minutes=options.minutes),
    )
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)  # addresses may hold the token
    scheme = "https" if context else "http"
    link = f"{scheme}://{options.host}:{options.port}/" + (f"?token={token}" if token else "")

    def greet(_: str) -> None:  # called when the port is open: whoever reads the link can use it
        print(f"Talk to {options.model}: {link}\nCtrl-C ends it.", flush=True)

    app = server.application()
    try:
        web.run_app(app, host=options.host, port=options.port, ssl_context=context, print=greet, access_log=None)
    except OSError as error:
        where = f"{options.host}:{options.port}"
        raise ValueError(f"cannot listen on {where}: {error.strerror}; try another --port") from None
    finally:
        server.engine.close()


def certificate(folder: Path, host: str) -> ssl.SSLContext:
    """key.pem and cert.pem of `folder`, made and signed by themselves where missing."""
    key, cert = folder / "key.pem", folder / "cert.pem"
    if key.exists() != cert.exists():
        raise FileNotFoundError(f"{folder} holds only one of key.pem and cert.pem; add the other, or remove it")
    if not key.exists():
        _sign(folder, host)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(cert, key)
    except ssl.SSLError as error:
        raise ValueError(f"{cert} and {key} are no certificate and its key: {error}") from error
    return context


def _sign(folder: Path, host: str) -> None:
    try:
        import trustme
    except ImportError as error:
        raise ImportError("making a certificate needs trustme: pip install 'minimoshi[serve]'") from error
    folder.mkdir(parents=True, exist_ok=True)
    issued = trustme.CA().issue_cert(host, *LOCAL)
    key = folder / "key.pem"
    key.touch(mode=0o600)
    issued.private_key_pem.write_to_path(key)
    for number, blob in enumerate(issued.cert_chain_pems):
        blob.write_to_path(folder / "cert.pem", append=number > 0)


def call(options: argparse.Namespace) -> None:
    try:
        from .client import converse, delays
    except ImportError as error:
        raise ImportError(_HELP) from error
    from ..audio import check_sound_path, check_writable, load_audio, save_audio

    output = Path(options.output)
    check_sound_path(output, options.force)
    check_writable(output.with_suffix(".json"), options.force)
    wav = load_audio(options.input, resample=options.resample, mono=True)[0].numpy()

    async def all_calls():
        return await asyncio.gather(
            *(
                converse(options.url, wav, options.silence_after, options.token, options.seed, trust=options.trust)
                for _ in range(options.copies)
            )
        )

    results = asyncio.run(all_calls())
    save_audio(output, results[0].stereo, force=options.force)
    words = {"text": results[0].text, "numbers": results[0].numbers}
    output.with_suffix(".json").write_text(json.dumps(words, indent=1) + "\n", encoding="utf-8")
    print(results[0].text or "(Moshi said nothing)")
    print(delays(results))


def load(options: argparse.Namespace) -> None:
    try:
        from .load import run
    except ImportError as error:
        raise ImportError(_HELP) from error
    run(options)
