"""Every number of a codec training, with the paper's values as defaults (paper §3.3.1; arXiv 2410.00037)."""

from __future__ import annotations

from dataclasses import dataclass

from ..config import SAMPLE_RATE, MimiConfig
from .codebooks import CodebookOptions
from .discriminator import SCALES
from .named import Recipe


@dataclass(frozen=True)
class CodecRecipe(Recipe):
    """End-to-end training of a codec. A loss with weight 0 is not computed at all."""

    preset: str = "full"
    start: str | None = None  # a shipped name, a folder, or "decoupled" (trained first); None: from nothing
    seed: int = 0
    steps: int = 4_000_000
    batch: int = 128  # crops a step
    seconds: float = 12.0  # of a crop
    train_encoder: bool = True  # False: encoder and codebooks stay as they are, the decoder learns to speak better

    # optimiser
    lr: float = 8e-4
    betas: tuple[float, ...] = (0.5, 0.9)
    weight_decay: float = 5e-2  # on the transformers only
    muon_lr: float = 0.0  # weight matrices by Muon with this rate instead of AdamW; 0: AdamW for all
    encoder_lr: float = 1.0  # share of the rates for the encoder's side
    warm_up: int = 40  # steps
    lr_floor: float = 0.02  # where half a cosine ends, as a share; 1 keeps the rate constant
    clip: float = 5.0  # largest norm of the whole gradient
    weight_ema: float = 0.99  # running average of the weights, which is what is exported; 0: none
    precision: str = "float32"  # or "bfloat16" (GPU only: on most CPUs it is several times slower)

    # losses on the sound
    mel: float = 0.0
    spectral: float = 0.0
    waveform: float = 0.0
    waveform_below: float | None = None  # Hz: the waveform loss hears nothing above
    adversarial: float = 4.0
    feature: float = 4.0
    balance: bool = True  # weights as shares of the gradient at the output, not as factors

    # losses on the latent
    commitment: float = 0.1
    semantic: float = 1.0  # 0: without distillation, in the decoupled stages too
    teacher: str | None = None  # whose features the first level is to carry, see teachers; None: no distillation
    distillation: str = "cosine"  # or "regression", or "phones" (cross-entropy of the corpus's own phone times)

    # codebooks
    ema_decay: float = 0.99
    revive_below: float = 0.1
    revive_every: int = 5
    quantised: float = 0.5  # share of sequences that the decoder hears quantised
    level_dropout: float = 0.25
    quantise_from: int = 0  # until this step nothing is quantised; then k-means places the codebooks
    fit_frames: int = 50_000  # frames for that k-means; 0: keep the codebooks there are

    # discriminator
    critic_filters: int = 32
    critic_scales: tuple[tuple[int, int], ...] = SCALES
    critic_lr: float = 3e-4
    critic_seconds: float = 0.0  # it sees a random stretch of each crop; 0: all of it
    critic_every: int = 1  # adversarial losses in every n-th step only
    critic_from: int = 0  # step

    def __post_init__(self) -> None:
        object.__setattr__(self, "critic_scales", tuple(tuple(scale) for scale in self.critic_scales))  # JSON has lists
        _ = self.codec, self.codebooks  # build them, which checks their numbers
        self._require(min(self.steps, self.batch) >= 1, "steps and batch must be at least 1")
        self._require(self.samples >= 1, f"seconds must hold at least one frame of 0.08, got {self.seconds}")
        self._require(
            self.mel + self.spectral + self.waveform + self.adversarial + self.feature > 0,
            "every loss on the sound has weight 0: nothing to learn from",
        )
        self._require(
            self.precision in ("float32", "bfloat16"), f"precision is float32 or bfloat16, got {self.precision!r}"
        )
        self._require(
            self.distillation in ("cosine", "regression", "phones"),
            f"distillation is cosine, regression or phones, got {self.distillation!r}",
        )

    @property
    def codec(self) -> MimiConfig:
        return MimiConfig.preset(self.preset)

    @property
    def samples(self) -> int:
        """Of a crop: whole frames."""
        frame = self.codec.frame_size
        return int(self.seconds * SAMPLE_RATE / frame + 1e-6) * frame

    @property
    def codebooks(self) -> CodebookOptions:
        return CodebookOptions(self.ema_decay, self.revive_below, self.revive_every, self.quantised, self.level_dropout)


_TINY = dict(  # what ships: after the decoupled stages the decoder gets used to its encoder's own tokens
    preset="tiny",
    start="decoupled",
    steps=12000,
    batch=4,
    seconds=1.28,
    train_encoder=False,
    lr=1.5e-3,
    betas=(0.8, 0.95),
    muon_lr=0.015,
    mel=1.0,
    spectral=1.0,
    adversarial=0.0,
    feature=0.0,
    level_dropout=0.1,
)
_WITH_CRITIC = dict(  # from the shipped codec on, with a small critic in every second step
    start="tiny",
    steps=3000,
    lr=4e-4,
    muon_lr=0.004,
    adversarial=0.5,
    feature=0.5,
    critic_filters=8,
    critic_scales=((1024, 256), (512, 128), (256, 64)),
    critic_seconds=0.32,
    critic_every=2,
)

CodecRecipe.RECIPES = {
    "paper": dict(),  # adversarial losses only, as Mimi's final model
    "reconstruction": dict(mel=2.0, waveform=0.1),  # the paper's baseline, as AudioCraft trains its codecs
    "tiny": _TINY,
    "tiny-adversarial": _TINY | _WITH_CRITIC,
}
