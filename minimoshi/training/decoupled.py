"""Decide what the tokens mean, then teach both halves of the codec side by side: the way to a first codec on a laptop.

End-to-end training has to find the tokens, the way into them and the way out of them all at once, and takes GPU-days.
Here teachers (`teachers/latents.py`) fix the tokens beforehand. The encoder then learns, by regression, to give the
teachers' latents; the decoder learns, beside it on another core, to make sound from the teachers' tokens; joined, they
are an ordinary `MimiAudioCodec` from which end-to-end training (`codec.py`) goes on.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..config import Config, MimiConfig
from ..mimi import MimiAudioCodec
from .codebooks import kmeans, nearest, residual_kmeans, usage
from .init import scaled_init
from .loop import RunFolder, step_seed, train
from .losses import MelLoss
from .modules import decoder_modules, encoder_modules
from .optim import Muon, Optimisers, cosine, split_parameters
from .speech import Batches
from .teachers import SpeechTeacher, fit_statistics, train_phone_net


@dataclass(frozen=True)
class DecoupledRecipe(Config):
    """The numbers of the decoupled stages; each stage is annealed over its own steps."""

    preset: str = "tiny"
    seed: int = 0
    semantic: str = "whisper"  # or "phones": a small network taught here, where the package of Whisper is missing;
    # or "none": nothing is distilled, for comparison
    semantic_late: int = 2  # columns of 20 ms that Whisper's features lag behind the frame
    phone_steps: int = 2000
    teacher_frames: int = 100_000  # for principal components and codebooks
    encoder_steps: int = 12_000
    acoustic_weight: float = 8.0  # of the acoustic error there, beside the two ways to ask for the semantic level
    exact_steps: int = 3500  # of the encoder once more, to make its acoustic latents exact; 0: none
    exact_weight: float = 12.0  # of the acoustic error there
    exact_lr: float = 0.25  # share of the rates there
    decoder_steps: int = 4500
    batch: int = 2
    frames: int = 50  # of each crop
    lr: float = 2e-3  # AdamW
    muon_lr: float = 0.02
    level_dropout: float = 0.25  # how often the decoder hears fewer than all levels
    clip: float = 5.0

    def __post_init__(self) -> None:
        self._require(
            self.semantic in ("whisper", "phones", "none"),
            f"semantic is whisper, phones or none, got {self.semantic!r}",
        )

    @property
    def codec(self) -> MimiConfig:
        return MimiConfig.preset(self.preset)


class DecoupledRun:
    """The stages of one run: teachers, encoder, decoder, joined. Each goes on from its last checkpoint."""

    def __init__(
        self,
        folder: RunFolder,
        recipe: DecoupledRecipe,
        batches: Batches,
        held_out: dict[str, Tensor],
        config: MimiConfig | None = None,
        said: Batches | None = None,
    ):
        """said: for the same random numbers the same crops as `batches`, before microphone, room and noise.

        It is what the semantic teacher then listens to, where it is given: what somebody says does not depend on the
        telephone.
        """
        self.folder, self.recipe, self.batches, self.held_out = folder, recipe, batches, held_out
        self.said = said
        self.config = config or recipe.codec

    # ------------------------------------------------------------------------------------------ teachers

    def make_teachers(self) -> None:
        """Teach the phones, find principal components and codebooks; log what each level leaves over."""
        if self.folder.has("teachers"):
            return
        recipe, config = self.recipe, self.config
        torch.manual_seed(recipe.seed)
        teacher = self._new_teacher()
        if teacher.phone_net is not None:
            accuracy = train_phone_net(teacher, self.batches, 0.0, recipe.seed, recipe.phone_steps)
            self.folder.log("teachers", phone_accuracy=accuracy)
        semantic, acoustic = fit_statistics(teacher, self.batches, recipe.teacher_frames, recipe.seed + 1)
        semantic_book, _ = kmeans(semantic, config.codebook_size)
        books, counts = residual_kmeans(acoustic, config.n_codebooks - 1, config.codebook_size)
        residual = acoustic
        for level, book in enumerate(books):
            residual = residual - book[nearest(residual, book)]
            left_over = float(residual.square().mean() / acoustic.square().mean())
            perplexity = usage(counts[level], config.codebook_size).perplexity
            self.folder.log("teachers", level=level + 1, left_over=left_over, perplexity=perplexity)
        content = {"teacher": teacher.state_dict(), "semantic": semantic_book, "acoustic": books}
        self.folder.save("teachers", content)

    def _new_teacher(self) -> SpeechTeacher:
        listener = None
        if self.recipe.semantic == "whisper":
            from .teachers.whisper import WhisperTeacher

            listener = WhisperTeacher(self.recipe.frames, late=self.recipe.semantic_late)
        plain = self.recipe.semantic == "none"
        return SpeechTeacher(self.config.codebook_dim, self.config.frame_size, listener, plain)

    def teacher(self) -> SpeechTeacher:
        teacher = self._new_teacher()
        teacher.load_state_dict(self.folder.load("teachers")["teacher"])
        return teacher.eval().requires_grad_(False)

    def new_codec(self) -> MimiAudioCodec:
        """An untrained codec whose codebooks are the teachers'."""
        torch.manual_seed(self.recipe.seed)
        codec = scaled_init(MimiAudioCodec(self.config))
        teachers = self.folder.load("teachers")
        codec.quantizer.semantic.set_centroids(0, teachers["semantic"])
        for level, centroids in enumerate(teachers["acoustic"]):
            codec.quantizer.acoustic.set_centroids(level, centroids)
        return codec

    # ----------------------------------------------------------------------------------------- two halves

    def train_encoder(self) -> None:
        """First both levels, then once more the acoustic one."""
        self._train_both_levels()
        if self.recipe.exact_steps:
            self._train_acoustic_level()

    def _train_both_levels(self) -> None:
        """Regression of both projections to the teachers' latents, and the teacher's semantic code named right.

        Regression alone retreats to the middle where it is unsure, and most codes go unused.
        """
        teacher, codec = self.teacher(), self.new_codec()

        def compare(wav: Tensor, _: np.random.Generator | None, said: Tensor | None = None) -> dict[str, Tensor]:
            with torch.no_grad():
                wanted = teacher.semantic(wav if said is None else said), teacher.acoustic(wav)
            own = projected(codec, wav)
            semantic, acoustic = ((one - target).square().mean() for one, target in zip(own, wanted, strict=True))
            quantizer = codec.quantizer.semantic
            scores = quantizer.scores(own[0], 0)
            naming = F.cross_entropy(scores.flatten(0, 1), quantizer.quantize(wanted[0])[:, 0].flatten())
            loss = self.recipe.acoustic_weight * acoustic + 0.4 * semantic + 0.12 * naming
            return {"loss": loss, "acoustic": acoustic, "semantic": semantic, "naming": naming}

        self._train("encoder", codec, encoder_modules(codec), compare, self.recipe.encoder_steps, said=self.said)

    def _train_acoustic_level(self) -> None:
        """Its error weighted more, the semantic level tied to what it has become: no listener is asked any more.

        What the acoustic latents lack in exactness no decoder can put back: words are lost.
        """
        teacher, codec, recipe = self.teacher(), self.new_codec(), self.recipe
        codec.load_state_dict(self.folder.load("encoder")["parts"]["codec"])
        before = copy.deepcopy(codec).eval().requires_grad_(False)

        def compare(wav: Tensor, _: np.random.Generator | None) -> dict[str, Tensor]:
            with torch.no_grad():
                wanted = projected(before, wav)[0], teacher.acoustic(wav)
            own = projected(codec, wav)
            semantic, acoustic = ((one - target).square().mean() for one, target in zip(own, wanted, strict=True))
            return {"loss": recipe.exact_weight * acoustic + semantic, "acoustic": acoustic, "semantic": semantic}

        self._train("exact", codec, encoder_modules(codec), compare, recipe.exact_steps, recipe.exact_lr)

    def train_decoder(self) -> None:
        """Sound from the teachers' tokens."""
        teacher, codec, mel_loss = self.teacher(), self.new_codec(), MelLoss()
        acoustic_levels = self.config.n_codebooks - 1

        def compare(wav: Tensor, rng: np.random.Generator | None) -> dict[str, Tensor]:
            with torch.no_grad():
                semantic, acoustic = teacher(wav)
            levels = None
            if rng is not None:
                fewer = rng.random(len(wav)) < self.recipe.level_dropout
                drawn = rng.integers(1, acoustic_levels, len(wav))
                levels = torch.from_numpy(np.where(fewer, drawn, acoustic_levels))
            sound = resynthesise(codec, semantic, acoustic, levels)
            return {"loss": mel_loss(sound[:, 0], wav[:, 0])}

        self._train("decoder", codec, decoder_modules(codec), compare, self.recipe.decoder_steps)

    def _train(
        self,
        stage: str,
        codec: MimiAudioCodec,
        modules: list[nn.Module],
        compare: Callable[..., dict[str, Tensor]],
        steps: int,
        rates: float = 1.0,
        said: Batches | None = None,
    ) -> None:
        """Minimise compare(wav, rng)["loss"] over the parameters of `modules`, at so many times the recipe's rates.

        said: another source of the same crops; compare then gets its crop as `said`.
        """
        recipe = self.recipe
        codec.requires_grad_(False)
        for module in modules:
            module.requires_grad_(True)
        matrices, others = split_parameters(modules)
        adam = torch.optim.AdamW(others, recipe.lr, betas=(0.8, 0.95), weight_decay=0.01)
        optimisers = Optimisers(
            {"muon": (Muon(matrices, recipe.muon_lr), recipe.muon_lr), "adam": (adam, recipe.lr)}
        )

        def step(number: int) -> dict[str, float]:
            rng, _ = step_seed(recipe.seed, number)
            wav = self.batches(rng, False)[0]
            twin = {"said": said(step_seed(recipe.seed, number)[0], False)[0]} if said else {}
            values = compare(wav, rng, **twin)
            optimisers.zero_grad()
            values["loss"].backward()
            nn.utils.clip_grad_norm_(optimisers.parameters(), recipe.clip)
            optimisers.step(rates * cosine(number / steps, number))
            return {name: float(value.detach()) for name, value in values.items()}

        @torch.no_grad()
        def check() -> dict[str, float]:
            return {f"{name}_held_out": float(compare(wav, None)["loss"]) for name, wav in self.held_out.items()}

        parts = {"codec": codec, "optimisers": optimisers}
        train(self.folder, stage, steps, step, parts, check, check_every=max(1, min(200, steps // 10)))

    def joined(self) -> MimiAudioCodec:
        """The codec of the trained encoder and the trained decoder."""
        codec = self.new_codec()
        stages = "exact" if self.recipe.exact_steps else "encoder", "decoder"
        halves = (self.folder.load(stage)["parts"]["codec"] for stage in stages)
        for half, modules in zip(halves, (encoder_modules(codec), decoder_modules(codec)), strict=True):
            trained = {id(p) for module in modules for p in module.parameters()}
            own = {name: half[name] for name, p in codec.named_parameters() if id(p) in trained}
            codec.load_state_dict(own, strict=False)
        return codec


def projected(codec: MimiAudioCodec, wav: Tensor) -> tuple[Tensor, Tensor]:
    """What this encoder gives to the two codebook groups, each [B, F, d]."""
    latent = codec.to_latent(wav).transpose(1, 2)
    return codec.quantizer.semantic.input_proj(latent), codec.quantizer.acoustic.input_proj(latent)


def resynthesise(codec: MimiAudioCodec, semantic: Tensor, acoustic: Tensor, levels: Tensor | None = None) -> Tensor:
    """Quantise projected latents [B, F, d] and decode them -> [B, 1, S].

    levels [B]: how many acoustic levels each example may use (None: all).
    """
    groups = codec.quantizer
    semantic_codes, acoustic_codes = groups.semantic.quantize(semantic), groups.acoustic.quantize(acoustic)
    depth = torch.arange(acoustic_codes.shape[1])
    vectors = groups.acoustic.centroids[depth[:, None], acoustic_codes]  # [B, Q, F, d]
    if levels is not None:
        vectors = vectors * (depth < levels[:, None])[..., None, None]
    acoustic_latent = groups.acoustic.output_proj(vectors.sum(1)).transpose(1, 2)
    return codec.from_latent(groups.semantic.decode(semantic_codes) + acoustic_latent)
