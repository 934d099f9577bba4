"""Checks of the annex, the museum of bugs: a mended function is right, and the one on show is told what it does."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import conv1d

from ...config import EPAD_ID, MOSHI_DELAYS, PAD_ID
from ...nn import ConvTransposeState, StreamingConvTranspose1d
from .. import museum
from ..exhibits import causal_window
from .core import Wrong, call, describe, exercise, want_close, want_shape
from .sound import draw


def same(got: Tensor, want: Tensor) -> bool:
    return got.shape == want.shape and bool(torch.allclose(got.double(), want.double(), atol=1e-5))


# ---------------------------------------------------------------------------------------------------- may_look


@exercise("museum", hint="age is how long ago s was; below 0 it has not been yet. Two conditions, joined with &.")
def may_look(answer: Any, generator: torch.Generator) -> str:
    """`answer(frames, context) -> bool [T, T]`: who may look at whom."""
    for frames, context in ((6, 3), (1, 4), (9, 9), (7, 1), (draw(generator, 10, 20), draw(generator, 2, 6))):
        got, want = call(answer, frames, context), causal_window(frames, context)
        want_shape(got, (frames, frames), "[T, T]", f"may_look({frames}, {context})")
        got = torch.as_tensor(got)
        if got.dtype != torch.bool:
            raise Wrong(f"value: a mask holds True and False, got {describe(got)}")
        for step, seen in (got != want).nonzero().tolist()[:1]:
            if seen > step:
                why = f"may look at step {seen}, which has not been yet: it is the answer it is asked for"
            elif want[step, seen]:
                why = f"should see step {seen}: itself and the {context - 1} before it"
            else:
                why = f"sees step {seen}, {step - seen} back; with context {context} that is too long ago"
            raise Wrong(f"value: may_look({frames}, {context}): step {step} {why}")
    return "The future is dark, and the past ends where it should."


# ------------------------------------------------------------------------------------------------------- speak


class ToyCodec:
    """Eight codes a frame become four samples, with two that are still unfinished: `decode` as in the real codec."""

    def __init__(self, generator: torch.Generator):
        self.paint = StreamingConvTranspose1d(8, 1, kernel_size=6, stride=4, bias=False).requires_grad_(False)
        self.paint.weight.copy_(torch.randn(self.paint.weight.shape, generator=generator))
        self.longest = 0

    def initial_state(self, batch_size: int = 1) -> ConvTransposeState:
        return self.paint.initial_state(batch_size)

    def decode(self, codes: Tensor, state: ConvTransposeState | None = None) -> Tensor:
        self.longest = max(self.longest, codes.shape[-1])
        return self.paint(codes.float(), state)


@exercise("museum", hint="a state belongs to one conversation: made once, before its first frame, and then handed on.")
def speak(answer: Any, generator: torch.Generator) -> str:
    """`answer(codec, codes [1, 8, F]) -> [1, 1, S]`, frame by frame."""
    codec = ToyCodec(generator)
    for turn in range(2):
        codes = torch.randint(8, (1, 8, draw(generator, 5, 12)), generator=generator)
        want = codec.decode(codes)
        codec.longest = 0
        got = call(answer, codec, codes)
        want_shape(got, tuple(want.shape), "[1, 1, S]", "the sound")
        if codec.longest > 1:
            raise Wrong("value: the codec was given several frames at once; a listener cannot wait for them")
        if same(got, want):
            continue
        if same(got, torch.cat([codec.decode(frame) for frame in codes.split(1, dim=-1)], dim=-1)):
            raise Wrong("value: every frame begins from silence, as if nothing had been said before it")
        if turn and same(got[..., 4:], want[..., 4:]):
            raise Wrong("value: the second conversation begins with the end of the first")
        want_close(got, want, "the sound")
    return "Frame by frame as in one piece, and the next caller starts from silence."


# ------------------------------------------------------------------------------------------------- moshis_codes


def late_grid(aligned: Tensor, delays: tuple[int, ...]) -> Tensor:
    """[K, T] -> [K, T + longest delay], 512 where nothing is."""
    late = torch.full((len(delays), aligned.shape[1] + max(delays)), 512)
    for k, d in enumerate(delays):
        late[k, d : d + aligned.shape[1]] = aligned[k]
    return late


@exercise("museum", hint="the first of the 17 delays belongs to the text. Which ones belong to rows 1 to 8?")
def moshis_codes(answer: Any, generator: torch.Generator) -> str:
    """`answer(late [17, T + longest], delays) -> [8, T]`: Moshi's codes, aligned."""
    paper = (0, *(0, *[2] * 7) * 2)
    odd = tuple(torch.randint(4, (17,), generator=generator).tolist())
    for delays in (MOSHI_DELAYS, paper, (1, *range(8), *range(8)), odd):
        aligned = torch.randint(512, (17, 9), generator=generator)
        late = late_grid(aligned, delays)
        got = call(answer, late.clone(), delays)
        want_shape(got, (8, 9), "[8, T]", f"Moshi's codes for delays {delays[:9]}…")
        for k in range(8):
            if torch.equal(torch.as_tensor(got)[k], aligned[1 + k]):
                continue
            name = "the semantic row" if k == 0 else f"acoustic row {k}"
            d, used = delays[1 + k], delays[k]
            one_off = torch.equal(torch.as_tensor(got)[k], late[1 + k, used : used + 9])
            why = f": it was moved back by {used}, and it is {d} late" if one_off else ""
            raise Wrong(f"value: {name} does not hold its frames in their places{why}")
    return "Every row by its own delay, not by its neighbour's."


# --------------------------------------------------------------------------------------------------- audio_rows


def encode(wav: Tensor) -> Tensor:
    """[B, 1, S] -> [B, 8, S / 4]: the toy codec's other half."""
    if wav.dim() != 3 or wav.shape[1] != 1:
        raise ValueError(f"expected mono audio of shape [B, 1, S], got {list(wav.shape)}")
    taps = torch.linspace(-1, 1, 32).view(8, 1, 4)
    return (50 * conv1d(wav, taps, stride=4)).round().long() % 512


@exercise("museum", hint="the codec wants mono, [B, 1, S]; two voices are two conversations for it: B is 2.")
def audio_rows(answer: Any, generator: torch.Generator) -> str:
    """`answer(stereo [2, S], encode) -> [16, T]`: Moshi's rows, then the user's."""
    for samples in (20, 40):
        stereo = torch.randn(2, samples, generator=generator)
        want = encode(stereo[:, None]).flatten(0, 1)
        got = call(answer, stereo.clone(), encode)
        want_shape(got, tuple(want.shape), "[16, T]", "the audio rows")
        got = torch.as_tensor(got)
        if torch.equal(got, want):
            continue
        if torch.equal(got[:8], got[8:]):
            raise Wrong("value: Moshi's rows and the user's are the same; so nobody knows who said what")
        if torch.equal(got, want.roll(8, 0)):
            raise Wrong("value: the user's rows come first; the order is Moshi, user")
        place = tuple((got != want).nonzero()[0].tolist())
        raise Wrong(f"value: row {place[0]}, frame {place[1]} is {got[place]}, expected {want[place]}")
    return "Two voices, two times eight rows."


# ------------------------------------------------------------------------------------------------------- revive


@exercise("museum", hint="work out the even share once; it is the new usage, and even share times point the new sum.")
def revive(answer: Any, generator: torch.Generator) -> str:
    """`answer(total [V, d], usage [V], batch [N, d]) -> (total, usage)`: dead codes on points, the others untouched."""
    for size, silent in ((8, 3), (12, 1), (6, 0)):
        usage = 1 + torch.rand(size, generator=generator)
        usage[:silent] = 0.001
        total = usage[:, None] * torch.randn(size, 4, generator=generator)
        batch = 5 + torch.randn(20, 4, generator=generator)
        result = call(answer, total.clone(), usage.clone(), batch.clone())
        if not isinstance(result, tuple) or len(result) != 2:
            raise Wrong(f"shape: return two things, total and usage, got {describe(result)}")
        new_total, new_usage = result
        want_shape(new_total, (size, 4), "[V, d]", "total")
        want_shape(new_usage, (size,), "[V]", "usage")
        want_close(new_usage[silent:], usage[silent:], "the usage of the living")
        want_close(new_total[silent:], total[silent:], "the sum of the living")
        _want_alive(new_total[:silent], new_usage[:silent], batch, float(usage.mean()))
    return "Back among the points, and with enough usage to stay."


def _want_alive(total: Tensor, usage: Tensor, batch: Tensor, even: float) -> None:
    """Every revived code stands on a point of the batch and will not be dead again at the next look."""
    for code, (own, count) in enumerate(zip(total, usage, strict=True)):
        away = float((own / count - batch).norm(dim=1).min())
        if away > 1e-3 * float(batch.norm(dim=1).max()):
            raise Wrong(
                f"value: revived code {code} stands at total / usage, and that is {away:,.0f} away from the nearest "
                f"point of the batch (its usage is {float(count):g})"
            )
        if not 0.5 * even < count < 2 * even:
            raise Wrong(
                f"value: revived code {code} has usage {float(count):g}, an even share is {even:.2g}; with much less "
                "it is dead again at the next look, with much more it cannot follow its points"
            )


# ----------------------------------------------------------------------------------------------------- word_row


def row_of(words: list[tuple[int, list[int]]], frames: int) -> Tensor:
    row = torch.full((frames,), PAD_ID)
    for first, tokens in words:
        row[first : first + len(tokens)] = torch.tensor(tokens)
        if first > 0 and row[first - 1] == PAD_ID:
            row[first - 1] = EPAD_ID
    return row


def drawn_words(generator: torch.Generator) -> list[tuple[int, list[int]]]:
    """Words of one to three tokens, some of them close together."""
    words, at = [], draw(generator, 0, 3)
    while at < 20:
        tokens = torch.randint(4, 900, (draw(generator, 1, 4),), generator=generator).tolist()
        words.append((at, tokens))
        at += len(tokens) + draw(generator, 0, 4)
    return words


@exercise("museum", hint="what stands in the row before the first word is written, and what should?")
def word_row(answer: Any, generator: torch.Generator) -> str:
    """`answer(words, frames) -> int64 [T]`: the inner monologue."""
    cases = [[], [(4, [268])], [(0, [268]), (1, [300, 301])], drawn_words(generator), drawn_words(generator)]
    for words in cases:
        want, got = row_of(words, 28), call(answer, list(words), 28)
        want_shape(got, (28,), "[T]", "the text row")
        got = torch.as_tensor(got)
        if torch.equal(got, want):
            continue
        frame = int((got != want).nonzero()[0])
        have, should = int(got[frame]), int(want[frame])
        why = ""
        if should == PAD_ID and have == EPAD_ID:
            why = ": that says “a word begins in the next frame”, and none does"
        elif should > PAD_ID and have == EPAD_ID:
            why = ": a token of a word was overwritten; EPAD only replaces PAD"
        elif should == EPAD_ID:
            why = ": a word begins in the next frame, and nothing says so"
        raise Wrong(f"value: frame {frame} holds {have}, expected {should}{why}; the words are {words}")
    return "Silence is PAD; EPAD only where a word is next."


# -------------------------------------------------------------------------------------------- conversation_grid


@exercise("museum", hint="encode gives the voices in the order of the channels: the first is the left one.")
def conversation_grid(answer: Any, generator: torch.Generator) -> str:
    """`answer(stereo [2, S], text [T], encode) -> [17, T]`: text, Moshi, user."""
    for samples in (20, 36):
        stereo = torch.randn(2, samples, generator=generator)
        text = torch.randint(4, 900, (samples // 4,), generator=generator)
        moshi, user = encode(stereo[:, None])
        want = torch.cat([text[None], moshi, user])
        got = call(answer, stereo.clone(), text.clone(), encode)
        want_shape(got, (17, samples // 4), "[17, T]", "the grid")
        got = torch.as_tensor(got)
        if torch.equal(got, want):
            continue
        if not torch.equal(got[0], text):
            raise Wrong("value: row 0 should be the text")
        if torch.equal(got[1:9], user):
            raise Wrong("value: rows 1 to 8 are Moshi's, and they hold the right channel, the user")
        row = int((got != want).any(1).nonzero()[0])
        raise Wrong(f"value: row {row} does not hold the codes of its voice")
    return "The voice in rows 1 to 8 is the one that says the words of row 0."


# --------------------------------------------------------------------------------------------------- audio_loss


@exercise("museum", hint="losses[0] is the text; where is the semantic row, and which entry of weights is its?")
def audio_loss(answer: Any, generator: torch.Generator) -> str:
    """`answer(losses [9], semantic_weight) -> scalar`: the weighted mean of the eight audio rows."""
    for weight in (100.0, 10.0, 1.0):
        losses = (1 + 3 * torch.rand(9, generator=generator)).requires_grad_()
        alpha = torch.tensor([weight] + [1.0] * 7)
        want = float((alpha * losses[1:].detach()).sum() / alpha.sum())
        got = call(answer, losses, weight)
        if isinstance(got, float) or not isinstance(got, Tensor) or not got.requires_grad:
            raise Wrong(f"the loss should be a tensor that a gradient can pass through, got {describe(got)}")
        want_shape(got, (), "a scalar, []", "the loss")
        got = got.detach()
        if abs(float(got) - want) < 1e-4:
            continue
        plain = float(losses[1:].detach().mean())
        why = f"expected {want:.4f}"
        if abs(float(got) - plain) < 1e-4:
            why += "; every code counts the same: the weight has missed the semantic row"
        elif abs(float(got) - want * float(alpha.sum())) < 1e-3:
            why += "; that is the sum: divide by the sum of the weights"
        raise Wrong(f"value: with semantic weight {weight:g} the loss is {float(got):.4f}, {why}")
    return "Row 1 is the semantic one, and it is heard first."


# --------------------------------------------------------------------------------------------------- turn_pairs


def turned(x: Tensor, angles: Tensor) -> Tensor:
    pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)).contiguous())
    return torch.view_as_real(pairs * torch.polar(torch.ones_like(angles), angles)).flatten(-2)


@exercise("museum", hint="x[..., 0::2] are the first channels of all pairs; put the turned ones back where they were.")
def turn_pairs(answer: Any, generator: torch.Generator) -> str:
    """`answer(x [..., D], angles [..., D/2]) -> [..., D]`: neighbouring channels are a pair."""
    for shape in ((5, 8), (3, 2), (2, 4, 6)):
        x = torch.randn(shape, generator=generator)
        angles = 3 * torch.rand(*shape[:-1], shape[-1] // 2, generator=generator)
        want, got = turned(x, angles), call(answer, x.clone(), angles)
        want_shape(got, shape, "[..., D]", "what was turned")
        if same(got, want):
            continue
        if same(got, museum.turn_pairs(x, angles)):
            raise Wrong("value: channel i was turned with channel i + D/2; in this model 2i and 2i + 1 are a pair")
        if same(got, turned(x, -angles)):
            raise Wrong("value: it turns the wrong way; check the signs")
        lengths = [pair.unflatten(-1, (-1, 2)).norm(dim=-1) for pair in (torch.as_tensor(got), x)]
        if not same(*lengths):
            raise Wrong("value: turning changes no lengths, but the pairs (2i, 2i + 1) have other lengths than before")
        want_close(got, want, "what was turned")
    return "The hands that belong together turn together."


# ------------------------------------------------------------------------------------------------------- newest


@exercise("museum", hint="conversation b ends with column lengths[b] - 1; torch.arange(B) names the rows.")
def newest(answer: Any, generator: torch.Generator) -> str:
    """`answer(z [B, T, D], lengths [B]) -> [B, D]`: the newest column of each conversation."""
    for rows, columns in ((1, 5), (3, 6), (4, 9)):
        z = torch.randn(rows, columns, 4, generator=generator)
        lengths = torch.randint(1, columns, (rows,), generator=generator)
        want, got = z[torch.arange(rows), lengths - 1], call(answer, z.clone(), lengths)
        want_shape(got, (rows, 4), "[B, D]", "the contexts")
        got = torch.as_tensor(got)
        for b in range(rows):
            if same(got[b], want[b]):
                continue
            n = int(lengths[b])
            found = next((t for t in range(columns) if same(got[b], z[b, t])), None)
            which = "none of its columns" if found is None else f"column {found}"
            padding = ", which is padding" if found is not None and found >= n else ""
            raise Wrong(f"value: conversation {b} has {n} columns, 0 to {n - 1}; you took {which}{padding}")
    return "Everybody's own newest column, whoever else is in the batch."
