"""Every number of every model, one dataclass per component.

A preset is nothing but an instance: `tiny` runs on a laptop, `small` wants one GPU, `full` is the model of the paper
(arXiv 2410.00037, Table 1) and gives the official parameter counts. The classes never ask which preset they are.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

SAMPLE_RATE = 24_000  # samples a second everywhere in the package
PAD_ID = 3  # text token: "no word is being said here"
EPAD_ID = 0  # text token: "the padding ends, a word begins with the next frame"


@dataclass(frozen=True)
class Config:
    """Base of all configurations: presets, checked construction from a dict, and back."""

    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {}

    @classmethod
    def preset(cls, name: str):
        """The named preset, e.g. `MimiConfig.preset("tiny")`. ValueError lists the names that exist."""
        if name not in cls.PRESETS:
            raise ValueError(f"{cls.__name__} has no preset {name!r}; choose one of {', '.join(cls.PRESETS)}")
        return cls.from_dict(cls.PRESETS[name])

    @classmethod
    def from_dict(cls, values: dict[str, Any]):
        """Build from a plain dict such as a config.json holds. Unknown keys are an error, never ignored."""
        known = {f.name: f for f in dataclasses.fields(cls)}
        unknown = sorted(set(values) - set(known))
        if unknown:
            hints = [
                f"{key!r}"
                + (f" (did you mean {close[0]!r}?)" if (close := difflib.get_close_matches(key, known)) else "")
                for key in unknown
            ]
            raise ValueError(f"{cls.__name__} does not know {', '.join(hints)}; it knows {', '.join(known)}")
        made = {}
        for key, value in values.items():
            part = _PARTS.get(known[key].type)
            if part is not None and isinstance(value, dict):
                value = part.from_dict(value)
            made[key] = tuple(value) if isinstance(value, list) else value
        return cls(**made)

    def to_dict(self) -> dict[str, Any]:
        """A plain dict that `from_dict` reads back and JSON can hold."""
        return {f.name: _plain(getattr(self, f.name)) for f in dataclasses.fields(self)}

    def replace(self, **changes: Any):
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def _require(self, holds: bool, message: str) -> None:
        if not holds:
            raise ValueError(f"{type(self).__name__}: {message}")


def _plain(value: Any) -> Any:
    if isinstance(value, Config):
        return value.to_dict()
    return list(value) if isinstance(value, tuple) else value


@dataclass(frozen=True)
class TransformerConfig(Config):
    """A causal transformer: the temporal and depth transformers, Helium, Mimi's two bottlenecks are all one."""

    dim: int  # width D
    layers: int
    heads: int
    hidden: int  # width inside the feed-forward
    context: int  # a step attends to this many steps, itself included
    gated: bool = True  # SiLU-gated feed-forward (Helium) or plain GELU (Mimi)
    norm: str = "rms"  # "rms" (Helium) or "layer" (Mimi)
    norm_eps: float = 1e-8
    max_period: float | None = 10_000.0  # slowest rotary wavelength; None: no positions
    layer_scale: float | None = None  # start value of a learnt gain on each residual branch
    schedule: tuple[int, ...] | None = None  # step -> weight set; None: all steps share their weights
    steps_per_call: int = 1  # steps that come together in a stream; decides how weights lie in memory, nothing else

    def __post_init__(self) -> None:
        self._require(self.dim % self.heads == 0, f"dim {self.dim} is not a multiple of heads {self.heads}")
        self._require(
            self.max_period is None or self.dim // self.heads % 2 == 0,
            f"rotary positions need an even head width, got {self.dim // self.heads}",
        )
        self._require(self.norm in ("rms", "layer"), f"norm must be 'rms' or 'layer', got {self.norm!r}")
        self._require(
            min(self.layers, self.heads, self.hidden, self.context) > 0,
            "layers, heads, hidden and context must be positive",
        )
        self._require(
            self.schedule is None or min(self.schedule, default=-1) >= 0,
            f"schedule must name a weight set, 0 or more, for each step, got {self.schedule}",
        )

    @property
    def weight_sets(self) -> int:
        return max(self.schedule) + 1 if self.schedule else 1


@dataclass(frozen=True)
class MimiConfig(Config):
    """The codec: 24 kHz speech to 12.5 frames a second of 8 tokens (paper §3.3)."""

    dim: int = 512  # latent width D
    ratios: tuple[int, ...] = (4, 5, 6, 8)  # strides of the encoder, first to last; the decoder undoes them in reverse
    encoder_filters: int = 64  # channels after the first convolution; doubles with every stride
    decoder_filters: int = 64
    kernel: int = 7  # first convolution of the encoder and of the decoder
    residual_kernel: int = 3
    last_kernel: int = 3
    compress: int = 2  # a residual block's inner width is its width divided by this
    downsample: int = 2  # 25 Hz -> 12.5 Hz
    layers: int = 8  # of each bottleneck transformer
    heads: int = 8
    hidden: int = 2048
    context: int = 250  # transformer steps at 25 Hz: 10 s
    max_period: float = 10_000.0
    layer_scale: float = 0.01
    n_codebooks: int = 32  # levels that exist: 1 semantic and the rest acoustic
    n_quantizers: int = 8  # levels that `encode` gives
    codebook_size: int = 2048  # V
    codebook_dim: int = 256

    def __post_init__(self) -> None:
        self._require(
            2 <= self.n_codebooks, f"needs a semantic and an acoustic level, got n_codebooks {self.n_codebooks}"
        )
        self._require(
            1 <= self.n_quantizers <= self.n_codebooks,
            f"n_quantizers must lie in 1..{self.n_codebooks} (n_codebooks), got {self.n_quantizers}",
        )
        self._require(self.downsample >= 1 and all(r >= 1 for r in self.ratios), "strides must be positive")
        _ = self.transformer  # builds it, which checks its numbers

    @property
    def frame_size(self) -> int:
        return math.prod(self.ratios) * self.downsample

    @property
    def frame_rate(self) -> float:
        return SAMPLE_RATE / self.frame_size

    @property
    def bits_per_second(self) -> float:
        return self.n_quantizers * math.log2(self.codebook_size) * self.frame_rate

    @property
    def transformer(self) -> TransformerConfig:
        """Both bottleneck transformers have these numbers."""
        return TransformerConfig(
            dim=self.dim,
            layers=self.layers,
            heads=self.heads,
            hidden=self.hidden,
            context=self.context,
            gated=False,
            norm="layer",
            norm_eps=1e-5,
            max_period=self.max_period,
            layer_scale=self.layer_scale,
            steps_per_call=self.downsample,
        )


MimiConfig.PRESETS = {
    "tiny": dict(
        dim=160,
        encoder_filters=16,
        decoder_filters=16,
        layers=3,
        heads=4,
        hidden=512,
        context=32,
        layer_scale=0.1,
        n_codebooks=8,
        codebook_size=512,
        codebook_dim=64,
    ),
    "small": dict(
        dim=256,
        encoder_filters=24,
        decoder_filters=32,
        layers=4,
        heads=8,
        hidden=1024,
        context=125,
        n_codebooks=8,
        codebook_size=1024,
        codebook_dim=128,
    ),
    "full": dict(),
}


@dataclass(frozen=True)
class HeliumConfig(Config):
    """The text language model; with the generator's audio embeddings, the temporal transformer (paper §3.2.1)."""

    dim: int = 4096
    layers: int = 32
    heads: int = 32
    hidden: int = 11_264
    context: int = 3000  # frames: 240 s
    max_period: float = 10_000.0
    text_card: int = 32_000  # V of the text; one more row is the initial token
    gated: bool = True
    norm: str = "rms"
    norm_eps: float = 1e-8
    text_card_out: int | None = None  # rows of the output head, where they differ from text_card

    def __post_init__(self) -> None:
        self._require(self.text_card > PAD_ID, f"text_card must exceed the PAD id {PAD_ID}, got {self.text_card}")
        _ = self.transformer  # builds it, which checks its numbers

    @property
    def transformer(self) -> TransformerConfig:
        return TransformerConfig(
            dim=self.dim,
            layers=self.layers,
            heads=self.heads,
            hidden=self.hidden,
            context=self.context,
            gated=self.gated,
            norm=self.norm,
            norm_eps=self.norm_eps,
            max_period=self.max_period,
        )


HeliumConfig.PRESETS = {
    "tiny": dict(dim=192, layers=4, heads=4, hidden=528, context=1000, text_card=1000),
    "small": dict(dim=768, layers=16, heads=12, hidden=2112, context=1500, text_card=8000),
    "full": dict(),
}


@dataclass(frozen=True)
class DepthConfig(Config):
    """The depth transformer: within one frame, text -> semantic -> acoustic tokens (paper §3.4.1)."""

    dim: int = 1024
    layers: int = 6
    heads: int = 16
    hidden: int = 2816
    input_dim: int = 4096  # width of the temporal transformer
    dep_q: int = 8  # codebooks it predicts: Moshi's own
    card: int = 2048  # V of the audio codebooks; one more row is the initial token
    text_card: int = 32_000
    gated: bool = True
    norm: str = "rms"
    norm_eps: float = 1e-8
    schedule: tuple[int, ...] | None = None  # codebook -> weight set; None: one set per codebook
    low_rank: int | None = None  # rank of the token embeddings; None: full
    output_norm: bool = False  # a LayerNorm before each codebook's head (later official models)

    def __post_init__(self) -> None:
        self._require(self.dep_q >= 1, f"dep_q must be at least 1, got {self.dep_q}")
        self._require(
            self.schedule is None or len(self.schedule) == self.dep_q,
            f"schedule must name one weight set per codebook: {self.dep_q} entries, got {self.schedule}",
        )
        _ = self.transformer  # builds it, which checks its numbers

    @property
    def weight_schedule(self) -> tuple[int, ...]:
        return self.schedule or tuple(range(self.dep_q))

    @property
    def transformer(self) -> TransformerConfig:
        return TransformerConfig(
            dim=self.dim,
            layers=self.layers,
            heads=self.heads,
            hidden=self.hidden,
            context=self.dep_q,
            gated=self.gated,
            norm=self.norm,
            norm_eps=self.norm_eps,
            max_period=None,
            schedule=self.weight_schedule,
        )


DepthConfig.PRESETS = {
    "tiny": dict(dim=96, layers=2, heads=4, hidden=264, input_dim=192, card=512, text_card=1000),
    "small": dict(dim=512, layers=6, heads=8, hidden=1408, input_dim=768, card=1024, text_card=8000),
    "full": dict(),
}

MOSHI_DELAYS = (0, *(0, 1, 1, 1, 1, 1, 1, 1) * 2)  # text, Moshi's 8 codebooks, the user's 8: acoustics one frame late


@dataclass(frozen=True)
class MoshiConfig(Config):
    """The whole: temporal transformer, depth transformer, the layout of the token grid, and the codec (paper §3.4)."""

    helium: HeliumConfig = field(default_factory=HeliumConfig)
    depth: DepthConfig | None = field(default_factory=DepthConfig)  # None: text only comes out (official STT models)
    n_q: int = 16  # audio streams in the grid: Moshi's, then the user's
    card: int = 2048  # V of the audio codebooks
    delays: tuple[int, ...] = MOSHI_DELAYS  # frames by which each of the 1 + n_q streams is written late
    mimi: MimiConfig = field(default_factory=MimiConfig)
    extra_heads: int = 0  # further heads on the temporal output (official STT: pauses)
    extra_heads_dim: int = 6
    condition_bins: int | None = None  # rows of a learnt condition added to every input (official Hibiki: quality)
    condition_dim: int = 16

    def __post_init__(self) -> None:
        self._require(
            len(self.delays) == self.n_q + 1,
            f"delays must have one entry for the text and one per audio stream: {self.n_q + 1}, got {len(self.delays)}",
        )
        self._require(min(self.delays) >= 0, f"delays must not be negative, got {self.delays}")
        if self.depth is not None:
            self._require(self.depth.dep_q <= self.n_q, f"depth.dep_q {self.depth.dep_q} exceeds n_q {self.n_q}")
            self._require(
                self.depth.input_dim == self.helium.dim,
                f"depth.input_dim {self.depth.input_dim} must equal helium.dim {self.helium.dim}",
            )
            self._require(self.depth.card == self.card, f"depth.card {self.depth.card} must equal card {self.card}")
            self._require(
                self.depth.text_card == self.helium.text_card,
                f"depth.text_card {self.depth.text_card} must equal helium.text_card {self.helium.text_card}",
            )

    @property
    def dep_q(self) -> int:
        return self.depth.dep_q if self.depth else 0

    @property
    def n_user(self) -> int:
        """Audio streams that are only heard, never predicted."""
        return self.n_q - self.dep_q

    @property
    def max_delay(self) -> int:
        return max(self.delays)

    def transcriber(self, behind: int) -> MoshiConfig:
        """The same model without a mouth: it hears one voice and writes it down `behind` frames later.

        Who only writes needs no long memory: it sees a quarter of the frames.
        """
        self._require(behind >= 1, f"text must come at least 1 frame behind the sound, got {behind}")
        heard = self.n_user or self.n_q
        helium = self.helium.replace(context=max(1, self.helium.context // 4))
        return self.replace(helium=helium, depth=None, n_q=heard, delays=(behind, *[0] * heard))


# Nested parts by the annotation of their field: `from __future__ import annotations` keeps those as strings.
_PARTS: dict[Any, type[Config]] = {
    "HeliumConfig": HeliumConfig,
    "DepthConfig | None": DepthConfig,
    "MimiConfig": MimiConfig,
}

MoshiConfig.PRESETS = {
    size: dict(
        helium=HeliumConfig.PRESETS[size],
        depth=DepthConfig.PRESETS[size],
        mimi=MimiConfig.PRESETS[size],
        card=MimiConfig.preset(size).codebook_size,
    )
    for size in ("tiny", "small", "full")
}
