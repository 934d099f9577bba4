"""Every number of the generator's training; the paper's values where it has them (§4.2, §4.3, Table 1)."""

from __future__ import annotations

from dataclasses import dataclass

from ..config import MoshiConfig
from ..sampling import Sampling
from .named import Recipe


@dataclass(frozen=True)
class MoshiRecipe(Recipe):
    """One stage of the generator's training. Weights of losses are factors; a weight of 0 leaves the loss out."""

    preset: str = "tiny"
    text_behind: int = 0  # frames; above 0 the model only listens, and writes what users say that much later
    start: str | None = None  # a folder with a generator (or "helium:FOLDER", text model only) to begin from
    seed: int = 0
    steps: int = 40_000
    batch: int = 4  # episodes a step; at equal data small batches learn more here
    frames: int = 240  # of an episode: 19.2 s

    # optimiser
    lr: float = 4e-3
    muon_lr: float = 0.0  # matrices of the transformers by Muon with this rate instead of AdamW; 0: AdamW for all
    depth_lr: float = 1.0  # share of the rates for the depth transformer
    betas: tuple[float, ...] = (0.9, 0.95)
    weight_decay: float = 0.01
    warm_up: int = 100  # steps
    decay: float = 0.33  # the rate is constant until this share of the steps is left, then falls to zero in a line
    cycles: int = 1  # so many equal parts: in each the rate falls, and the result is the mean of their ends
    clip: float = 1.0
    weight_ema: float = 0.999  # running average of the weights, which is what is exported; 0: none
    precision: str = "float32"  # or "bfloat16" (GPU)
    compile: bool = False  # torch.compile (GPU)

    # losses
    text: float = 2.0
    audio: float = 1.0
    semantic_weight: float = 10.0  # of the first codebook within the audio loss (paper: 100)
    pad_weight: float = 0.3  # of PAD and EPAD within the text loss (paper: 0.5 in moshi-finetune)
    hearing: float = 1.0  # a head for training only that reads out the user's words
    remembering: float = 0.0  # another that names the user's last words, in every frame
    hearing_blank: float = 0.1  # weight of frames where no word of the user ends

    # what the model is shown
    ease: int = 0  # over so many first steps all that hides or disturbs, and remembering, grows from nothing
    own_drop: float = 0.15  # how often a frame of Moshi's own past sound is hidden
    own_hide: float = 0.4  # how often all of it is, so that the user must tell Moshi what to say, not its own ear
    text_drop: float = 0.0  # how often a token of its own text is hidden, so that it trusts what it hears more
    user_noise: float = 0.08  # how often a code of the user is replaced by another
    user_drop: float = 0.05  # how often a frame of the user is hidden
    user_shallow: float = 0.0  # how often only the first codebooks of the user are shown, which tell what, not who
    user_splice: float = 0.5  # how often a sentence of the user is put together from several takes
    user_mixed: float = 0.0  # in what share of these somebody else says some of the words
    user_hesitant: float = 0.0  # in what share of these the next word is late
    user_echo: float = 0.0  # in what share of the episodes the user's microphone hears Moshi (paper: 0.3)
    text_alone: float = 0.1  # share of the episodes whose sound is hidden: sums kept for text, and told names
    moshi_alone: float = 0.0  # share of the others in which nobody is heard but Moshi
    monologue: bool = True  # False: its text is PAD throughout, a voice that does not know its words (paper §5.5)
    text_mask: float = 0.0  # how often the text of an episode is hidden altogether (paper's pre-training: 0.3)
    text_delay: float = 0.0  # text is moved by up to this many seconds, either way (paper's pre-training: 0.6)
    depth_active: float = 0.3  # share of the frames in which Moshi speaks that the depth transformer learns from
    depth_silent: float = 0.04  # and of those in which it is silent
    hear_moshi: float = 0.0  # share of a transcriber's episodes in which it hears Moshi instead of a user
    text_only: float = 0.0  # share of steps that see lines of text alone, with an optimiser state of their own

    # how the result draws its tokens unless told otherwise, see `Sampling`
    temperature: float = 0.8
    text_temperature: float = 0.7
    pad_bonus: float = 0.0

    def __post_init__(self) -> None:
        _ = self.model, self.sampling
        least = min(self.steps, self.batch, self.frames, self.cycles)
        self._require(least >= 1, "steps, batch, frames and cycles must be at least 1")
        self._require(self.cycles <= self.steps, f"{self.steps} steps have no {self.cycles} cycles")
        shares = (
            "own_drop own_hide text_drop user_noise user_drop user_shallow user_splice user_mixed user_hesitant "
            "user_echo text_alone moshi_alone text_mask hear_moshi depth_active depth_silent text_only decay"
        )
        for name in shares.split():
            self._require(0 <= getattr(self, name) <= 1, f"{name} is a share from 0 to 1, got {getattr(self, name)}")
        self._require(
            not self.text_behind or not (self.audio or self.hearing or self.remembering),
            "a model that only listens (text_behind) has no sound to learn and no other hearing: "
            "audio=0 hearing=0 remembering=0",
        )
        self._require(self.depth_active + self.depth_silent > 0 or not self.audio, "no frame is left for the depth")
        self._require(
            self.precision in ("float32", "bfloat16"), f"precision is float32 or bfloat16, got {self.precision!r}"
        )

    @property
    def sampling(self) -> Sampling:
        return Sampling(
            temperature=self.temperature, text_temperature=self.text_temperature, pad_bonus=self.pad_bonus
        )

    @property
    def model(self) -> MoshiConfig:
        config = MoshiConfig.preset(self.preset)
        return config.transcriber(self.text_behind) if self.text_behind else config


MoshiRecipe.RECIPES = {
    "tiny": dict(
        remembering=0.5, frames=1500, batch=1, user_shallow=0.25, user_mixed=0.5, user_hesitant=0.35, user_echo=0.35,
        moshi_alone=0.06, lr=6e-3, muon_lr=0.015, ease=1000, temperature=0.3, text_temperature=0.0, pad_bonus=-0.2,
        steps=9_000
    ),
    "paper": dict(semantic_weight=100.0, pad_weight=0.5, text=1.0, hearing=0.0),
    # meant to `start` from a dialogue model's generator: 250 steps from there hear more than 1,500 from nothing
    "transcriber": dict(
        text_behind=6, text_drop=0.5, audio=0.0, hearing=0.0, text_alone=0.0, hear_moshi=0.25, user_mixed=0.4,
        user_hesitant=0.3, lr=2e-3, steps=4000
    ),
}
