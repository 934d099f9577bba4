"""Dialogues as tokens on disk, so that training never waits for the codec.

A folder holds `shards.json` (how many streams, which codec and tokenizer), `00000.u16`, `00001.u16`, ... (grids, one
frame after the other, K 16-bit numbers each; 65535 stands for -1, "none") and `index.ndjson`, one line a dialogue:
{"shard", "first", "frames", "facts"}. A dialogue exists when its line is there whole, and its line is written last.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from ..checkpoint import read_json
from ..mimi import MimiAudioCodec
from ..moshi.grid import ZERO_TOKEN, text_row
from ..text import TextTokenizer
from .stereo import StereoDialogue, load_dialogue, read_manifest, write_whole

HEADER = "shards.json"
INDEX = "index.ndjson"  # not .jsonl, which would be taken for a manifest of dialogues
STREAMS = 17  # text, Moshi's 8 codebooks, the user's 8
SHARD_FRAMES = 2_000_000  # 44 hours, 68 MB
_NONE = 65535
_PIECE = 25  # frames, 2 s, that the codec encodes in one call; with 20 s it took twice the time on a CPU


@dataclass(frozen=True)
class Fingerprint:
    """What tokens depend on, as sha256 sums. Tokens of different codecs or tokenizers must never be mixed."""

    codec: str
    tokenizer: str

    @classmethod
    def of(cls, codec: MimiAudioCodec, tokenizer: TextTokenizer) -> Fingerprint:
        """Of the codec only what makes tokens counts: its decoder may be trained on."""
        parts = ("encoder", "encoder_transformer", "downsample", "quantizer")
        config = {k: v for k, v in codec.config.to_dict().items() if k != "decoder_filters"}
        found = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
        for name, weight in sorted(codec.state_dict().items()):
            if name.split(".")[0] in parts:
                found.update(name.encode() + weight.detach().float().cpu().contiguous().numpy().tobytes())
        return cls(found.hexdigest(), hashlib.sha256(tokenizer.proto).hexdigest())

    def check(self, folder: Path, other: Fingerprint) -> None:
        """ValueError if the tokens in `folder`, of the fingerprint `other`, were made differently."""
        for part, ours, theirs in (("codec", self.codec, other.codec), ("tokenizer", self.tokenizer, other.tokenizer)):
            if ours != theirs:
                raise ValueError(
                    f"{folder} holds tokens of another {part} (sha256 {theirs[:12]}, this one is {ours[:12]}): "
                    f"use that {part}, or tokenize into another folder"
                )


class ShardWriter:
    """Appends dialogues to a folder of shards, made if need be; `len(writer)` are in it already.

    A kill at any time costs at most the dialogue that was being written: what it left is dropped the next time.
    ValueError when the folder's tokens are of another codec or tokenizer, or have another number of streams.
    """

    def __init__(
        self, folder: str | os.PathLike, made_by: Fingerprint, streams: int = STREAMS, shard_frames: int = SHARD_FRAMES
    ):
        if streams < 1 or shard_frames < 1:
            raise ValueError(f"streams and shard_frames must be positive, got {streams} and {shard_frames}")
        self.folder, self.streams, self.shard_frames = Path(folder), streams, shard_frames
        self.folder.mkdir(parents=True, exist_ok=True)
        if not (self.folder / HEADER).exists():
            write_whole(self.folder / HEADER, json.dumps({"streams": streams, **asdict(made_by)}, indent=1) + "\n")
        there, fingerprint = _read_header(self.folder)
        made_by.check(self.folder, fingerprint)
        if there != streams:
            raise ValueError(f"{self.folder} holds grids of {there} streams, expected {streams}")
        self.rows = self._recover()

    def __len__(self) -> int:
        return len(self.rows)

    def append(self, grid: Tensor, facts: dict[str, Any] | None = None) -> None:
        """Add a dialogue: int [K, T], -1 where there is no token, and what is known of it, anything JSON can hold."""
        if grid.dim() != 2 or grid.shape[0] != self.streams or not grid.shape[1] or grid.is_floating_point():
            raise ValueError(f"expected an int grid [{self.streams}, T], got {grid.dtype} {list(grid.shape)}")
        low, high = (int(extreme) for extreme in grid.aminmax())
        if low < ZERO_TOKEN or high >= _NONE:
            raise ValueError(f"tokens must lie in {ZERO_TOKEN}..{_NONE - 1}, got {low}..{high}")
        frames = grid.shape[1]
        shard, first = (self.rows[-1]["shard"], _end(self.rows[-1])) if self.rows else (0, 0)
        if first and first + frames > self.shard_frames:
            shard, first = shard + 1, 0
        row = {"shard": shard, "first": first, "frames": frames, "facts": facts or {}}
        line = json.dumps(row) + "\n"
        tokens = np.ascontiguousarray(grid.cpu().numpy().T)
        _append(_shard_path(self.folder, shard), np.where(tokens < 0, _NONE, tokens).astype("<u2").tobytes())
        _append(self.folder / INDEX, line.encode())
        self.rows.append(row)

    def _recover(self) -> list[dict[str, Any]]:
        """Drop what a kill left unfinished: part of a line, tokens without a line. Returns the rows that remain."""
        rows, good = _read_index(self.folder)
        index = self.folder / INDEX
        if index.exists():
            os.truncate(index, good)
        ends = {row["shard"]: _end(row) for row in rows}
        for path in self.folder.glob("*.u16"):
            size = 2 * self.streams * ends.get(int(path.stem), 0)
            if path.stat().st_size > size:
                os.truncate(path, size)
        _check_sizes(self.folder, ends, self.streams)
        return rows


class Shards:
    """The dialogues in a folder of shards: `shards[i]` -> (grid int64 [K, T], facts). Tokens stay on disk until asked.

    made_by: raise ValueError unless the tokens were made by this codec and tokenizer.
    """

    def __init__(self, folder: str | os.PathLike, made_by: Fingerprint | None = None):
        self.folder = Path(folder)
        self.streams, self.made_by = _read_header(self.folder)
        if made_by is not None:
            made_by.check(self.folder, self.made_by)
        self._rows, _ = _read_index(self.folder)
        ends = {row["shard"]: _end(row) for row in self._rows}
        _check_sizes(self.folder, ends, self.streams)
        self._tokens = {
            shard: np.memmap(_shard_path(self.folder, shard), "<u2", "r", shape=(end, self.streams))
            for shard, end in ends.items()
        }
        self.lengths = np.array([row["frames"] for row in self._rows], np.int64)
        self._ends = np.cumsum(self.lengths)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> tuple[Tensor, dict[str, Any]]:
        row = self._rows[index]
        return self._read(row, 0, row["frames"]), row["facts"]

    @property
    def frames(self) -> int:
        """Of all dialogues together."""
        return int(self.lengths.sum())

    def crop(self, rng: np.random.Generator, frames: int) -> Tensor:
        """A stretch of a random dialogue, int64 [K, frames]. Every frame of the data is about equally likely.

        Where the dialogue is shorter, -1 fills the end in all streams: nothing is learnt there.
        """
        if frames < 1 or not len(self):
            raise ValueError(f"cannot draw {frames} frames from the {len(self)} dialogues in {self.folder}")
        row = self._rows[int(np.searchsorted(self._ends, rng.integers(self._ends[-1]), side="right"))]
        start = int(rng.integers(max(0, row["frames"] - frames) + 1))
        grid = self._read(row, start, min(frames, row["frames"]))
        return F.pad(grid, (0, frames - grid.shape[1]), value=ZERO_TOKEN)

    def _read(self, row: dict[str, Any], start: int, frames: int) -> Tensor:
        first = row["first"] + start
        tokens = self._tokens[row["shard"]][first : first + frames].T.astype(np.int64)
        tokens[tokens == _NONE] = ZERO_TOKEN
        return torch.from_numpy(tokens)


# ------------------------------------------------------------------------------------------------ files


def _shard_path(folder: Path, shard: int) -> Path:
    return folder / f"{shard:05}.u16"


def _end(row: dict[str, Any]) -> int:
    return row["first"] + row["frames"]


def _append(path: Path, data: bytes) -> None:
    with open(path, "ab") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())  # a line must not reach the disk before its tokens


def _read_header(folder: Path) -> tuple[int, Fingerprint]:
    path = folder / HEADER
    if not path.exists():
        raise FileNotFoundError(f"{folder} holds no token shards ({HEADER}); `minimoshi data tokenize` makes them")
    match read_json(path):
        case {"streams": int(streams), "codec": str(codec), "tokenizer": str(tokenizer)}:
            return streams, Fingerprint(codec, tokenizer)
    raise ValueError(f"{path} does not say which streams, codec and tokenizer the tokens are of; tokenize anew")


def _read_index(folder: Path) -> tuple[list[dict[str, Any]], int]:
    """The rows of all whole lines, and how many bytes those are."""
    path = folder / INDEX
    content = path.read_bytes() if path.exists() else b""
    good = content.rfind(b"\n") + 1
    try:
        return [json.loads(line) for line in content[:good].splitlines()], good
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}; tokenize anew into an empty folder") from error


def _check_sizes(folder: Path, ends: dict[int, int], streams: int) -> None:
    for shard, end in ends.items():
        path = _shard_path(folder, shard)
        size = path.stat().st_size if path.exists() else 0
        if size < 2 * streams * end:
            raise ValueError(
                f"{path} has {size} bytes, the index says {2 * streams * end}: it was cut off or not copied whole; "
                "restore it, or tokenize anew into an empty folder"
            )


# --------------------------------------------------------------------------------------------- tokenize


def tokenize(
    manifest: str | os.PathLike,
    out: str | os.PathLike,
    codec: MimiAudioCodec,
    tokenizer: TextTokenizer,
    resample: bool = False,
    progress: bool = True,
) -> Shards:
    """Turn the dialogues of a manifest, or of all manifests in a folder, into token shards in `out`.

    Dialogues that are there already are left out, so that a run that was stopped goes on. `resample` accepts sound
    of other rates than 24 kHz. `progress` shows a bar, and at the end speed and size.
    """
    root = Path(manifest) if Path(manifest).is_dir() else Path(manifest).parent
    entries = {_name(entry.path, root): entry for entry in read_manifest(manifest)}
    made_by = Fingerprint.of(codec, tokenizer)
    writer = ShardWriter(out, made_by, streams=1 + 2 * codec.n_quantizers)
    done = {row["facts"].get("path") for row in writer.rows}
    waiting = {name: entry for name, entry in entries.items() if name not in done}
    began, seconds, frames = time.perf_counter(), 0.0, 0
    total = round(sum(entry.duration for entry in waiting.values()))
    with tqdm(total=total, unit="s", desc="tokenize", disable=not progress) as bar:
        for name, entry in waiting.items():
            dialogue = load_dialogue(entry.path, resample)
            grid = make_grid(dialogue, codec, tokenizer)
            writer.append(grid, {**dialogue.facts, "path": name, "seconds": dialogue.seconds})
            seconds, frames = seconds + dialogue.seconds, frames + grid.shape[1]
            bar.update(round(dialogue.seconds))
    if progress and frames:
        speed = seconds / (time.perf_counter() - began)
        per_hour = 2 * writer.streams * 3600 * codec.frame_rate
        print(
            f"{len(waiting)} dialogues, {seconds / 3600:.2f} hours, {speed:.0f} times faster than real time; "
            f"{per_hour / 1e6:.2f} MB an hour -> {out}"
        )
    return Shards(out, made_by)


def make_grid(dialogue: StereoDialogue, codec: MimiAudioCodec, tokenizer: TextTokenizer) -> Tensor:
    """The time-aligned grid of a dialogue, int64 [1 + 2Q, T]: text, Moshi's codes, the user's; no text, -1 there.

    Words without length are left out, as moshi-finetune does.
    """
    codes = _encode(codec, torch.from_numpy(dialogue.stereo))
    frames = codes.shape[2]
    if dialogue.words is None:
        text = torch.full((frames,), ZERO_TOKEN)
    else:
        words = [(w.text, (w.start, w.end)) for w in dialogue.said_by("moshi") if w.end > w.start]
        text = text_row(words, tokenizer, frames, codec.frame_rate)
    return torch.cat([text[None], codes.flatten(0, 1).cpu()])


@torch.inference_mode()
def _encode(codec: MimiAudioCodec, stereo: Tensor) -> Tensor:
    """float [2, S] -> int64 [2, Q, T], both channels in one call, 2 s at a time: memory does not grow."""
    size = codec.frame_size
    padded = F.pad(stereo, (0, -stereo.shape[1] % size)).to(codec.downsample.weight.device)
    state = codec.initial_state(2)
    return torch.cat([codec.encode(piece[:, None], state) for piece in padded.split(_PIECE * size, dim=1)], dim=2)


def _name(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
