"""Timings: how long 80 ms of conversation take. `minimoshi bench` prints them beside the official packages.

Every case runs in a process of its own, so that its peak memory is its own, and starts from random weights: speed does
not depend on what a model has learnt.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import torch

PIECE_SECONDS = 4
# name -> (what is timed, ours, the package it is compared with)
FRAME = "per 80 ms frame"
PIECE = f"one piece of {PIECE_SECONDS} s"
CASES = {
    "mimi-encode": (f"Mimi full, encode, {FRAME}", ("moshi", "rustymimi")),
    "mimi-decode": (f"Mimi full, decode, {FRAME}", ("moshi", "rustymimi")),
    "mimi-encode-piece": (f"Mimi full, encode, {PIECE}", ("moshi",)),
    "mimi-decode-piece": (f"Mimi full, decode, {PIECE}", ("moshi",)),
    "lm-step": ("LM step, 256 x 6 + depth 128 x 4, 17 streams", ("moshi",)),
    "tiny-frame": ("tiny, whole frame: encode, step, decode", ()),
}


def run_case(name: str, package: str, threads: int, calls: int) -> dict[str, float]:
    """Time one case in this process: median, 99th percentile and fastest call in ms, peak memory in MB."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    from .moshi.dialogue import settle_memory

    with torch.inference_mode():
        call = _BUILDERS[name, package]()
        settle_memory()  # for all packages alike: a garbage collection is not what is timed
        seconds = _time(call, calls if "piece" not in name else max(10, calls // 5))
    milliseconds = sorted(1000 * s for s in seconds)
    return {
        "median_ms": statistics.median(milliseconds),
        "p99_ms": milliseconds[min(len(milliseconds) - 1, int(0.99 * len(milliseconds)))],
        "min_ms": milliseconds[0],
        "peak_mb": _peak_memory(),
    }


def bench(
    threads: int = 1,
    calls: int = 100,
    only: list[str] | None = None,
    official: bool = True,
    report: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Run all cases (or `only` some) and report a table; returns what the JSON file holds."""
    rows = []
    report(f"{'':<46}{'':<11}{'median ms':>10}{'99 % ms':>10}{'peak MB':>9}{'x official':>12}")
    for name in only or list(CASES):
        what, compared = CASES[name]
        ours = _in_own_process(name, "minimoshi", threads, calls)
        rows.append({"case": name, "what": what, "package": "minimoshi", **ours})
        report(_line(what, "minimoshi", ours, ""))
        for package in compared if official else ():
            if find_spec(package) is None:
                report(f"{'':<46}{package:<11}{'(not installed)':>20}")
                continue
            theirs = _in_own_process(name, package, threads, calls)
            speedup = theirs["median_ms"] / ours["median_ms"]
            rows.append({"case": name, "what": what, "package": package, **theirs, "speedup_of_minimoshi": speedup})
            report(_line("", package, theirs, f"{speedup:.1f}"))
    return {"threads": threads, "calls": calls, "machine": machine(), "rows": rows}


def machine() -> dict[str, str]:
    """What the figures were measured on."""
    return {
        "processor": _processor(),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def _line(what: str, package: str, row: dict[str, float], speedup: str) -> str:
    return f"{what:<46}{package:<11}{row['median_ms']:>10.2f}{row['p99_ms']:>10.2f}{row['peak_mb']:>9.0f}{speedup:>12}"


def _in_own_process(name: str, package: str, threads: int, calls: int) -> dict[str, float]:
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": str(threads),
        "RAYON_NUM_THREADS": str(threads),
        "NO_TORCH_COMPILE": "1",
    }
    command = [sys.executable, "-W", "ignore", "-m", "minimoshi.bench", name, package, str(threads), str(calls)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"the case {name} of {package} failed:\n{done.stderr.strip()[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def _time(call: Callable[[], Any], calls: int) -> list[float]:
    for _ in range(max(2, calls // 10)):
        call()
    seconds = []
    for _ in range(calls):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return seconds


def _peak_memory() -> float:
    try:
        import resource
    except ImportError:  # Windows
        return float("nan")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.split(":")[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _ours_mimi(part: str, piece: bool) -> Callable[[], Any]:
    from . import MimiAudioCodec, MimiConfig

    codec = MimiAudioCodec(MimiConfig.preset("full")).eval()
    state = None if piece else codec.initial_state()
    wav = _wav(piece)
    if part == "encode":
        return lambda: codec.encode(wav, state)
    codes = codec.encode(wav)
    return lambda: codec.decode(codes, state)


def _official_mimi(part: str, piece: bool) -> Callable[[], Any]:
    from moshi.models.loaders import get_mimi

    codec = get_mimi(None, device="cpu")
    codec.set_num_codebooks(8)
    wav = _wav(piece)
    codes = codec.encode(wav)
    if not piece:
        codec.streaming_forever(1)
    return (lambda: codec.encode(wav)) if part == "encode" else (lambda: codec.decode(codes))


def _rust_mimi(part: str) -> Callable[[], Any]:
    import tempfile
    from pathlib import Path

    import rustymimi

    from . import MimiAudioCodec, MimiConfig, interop

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mimi.safetensors"
        interop.save_kyutai_mimi(MimiAudioCodec(MimiConfig.preset("full")), path)
        codec = rustymimi.Tokenizer(str(path), num_codebooks=8)
    wav = _wav(False).numpy()
    codes = codec.encode(wav)
    return (lambda: codec.encode_step(wav)) if part == "encode" else (lambda: codec.decode_step(codes))


def _wav(piece: bool) -> torch.Tensor:
    return 0.1 * torch.randn(1, 1, 24_000 * PIECE_SECONDS if piece else 1920)


def _lm_config() -> Any:
    """Larger than `tiny`, which is so small that Python, not the model, would be timed."""
    from .config import DepthConfig, HeliumConfig, MimiConfig, MoshiConfig

    helium = HeliumConfig(dim=256, layers=6, heads=4, hidden=704, context=500, text_card=1000)
    depth = DepthConfig(dim=128, layers=4, heads=4, hidden=352, input_dim=256, card=512, text_card=1000)
    return MoshiConfig(helium=helium, depth=depth, card=512, mimi=MimiConfig.preset("tiny"))


def _ours_lm() -> Callable[[], Any]:
    from . import HierarchicalGenerator

    stream = HierarchicalGenerator(_lm_config()).eval().stream(seed=0)
    codes = torch.randint(512, (1, 8))
    return lambda: stream.step(codes)


def _official_lm() -> Callable[[], Any]:
    from moshi.models.lm import LMGen, LMModel

    c = _lm_config()
    model = LMModel(
        delays=list(c.delays),
        n_q=c.n_q,
        dep_q=c.dep_q,
        card=c.card,
        text_card=c.helium.text_card,
        dim=c.helium.dim,
        num_heads=c.helium.heads,
        num_layers=c.helium.layers,
        hidden_scale=1.5 * c.helium.hidden / c.helium.dim,
        context=c.helium.context,
        norm="rms_norm_f32",
        gating="silu",
        positional_embedding="rope",
        causal=True,
        depformer_dim=c.depth.dim,
        depformer_num_heads=c.depth.heads,
        depformer_num_layers=c.depth.layers,
        depformer_dim_feedforward=c.depth.hidden * 3 // 2,
        depformer_multi_linear=True,
        depformer_context=c.dep_q,
        depformer_pos_emb="none",
        depformer_weights_per_step=True,
        depformer_gating="silu",
        device="cpu",
    ).eval()
    stream = LMGen(model)
    stream.streaming_forever(1)
    codes = torch.randint(c.card, (1, 8, 1))
    return lambda: stream.step(codes)


def _tiny_frame() -> Callable[[], Any]:
    from . import FullDuplexDialogueModel

    session = FullDuplexDialogueModel().eval().session(seed=0)
    pcm = _wav(False)[0, 0]
    return lambda: session.step(pcm)


_BUILDERS: dict[tuple[str, str], Callable[[], Callable[[], Any]]] = {
    ("lm-step", "minimoshi"): _ours_lm,
    ("lm-step", "moshi"): _official_lm,
    ("tiny-frame", "minimoshi"): _tiny_frame,
}
for _part in ("encode", "decode"):
    _BUILDERS[f"mimi-{_part}", "minimoshi"] = lambda part=_part: _ours_mimi(part, False)
    _BUILDERS[f"mimi-{_part}", "moshi"] = lambda part=_part: _official_mimi(part, False)
    _BUILDERS[f"mimi-{_part}", "rustymimi"] = lambda part=_part: _rust_mimi(part)
    _BUILDERS[f"mimi-{_part}-piece", "minimoshi"] = lambda part=_part: _ours_mimi(part, True)
    _BUILDERS[f"mimi-{_part}-piece", "moshi"] = lambda part=_part: _official_mimi(part, True)


if __name__ == "__main__":
    print(json.dumps(run_case(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))))
