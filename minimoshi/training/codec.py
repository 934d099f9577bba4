"""Train a codec end to end, as the paper does (§3.3): sound in, sound out, everything in between learns at once.

    minimoshi train codec --run-dir RUNS --recipe tiny

A step: crops of speech go through the encoder, the codebooks (`CodebookLearner`) and the decoder; losses on the sound
are balanced against each other; commitment and distillation join them; the critic is taught on the side. Every piece is
a file of this room and a switch in `CodecRecipe`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ..config import MimiConfig
from ..data.voices import PHONES
from ..mimi import MimiAudioCodec
from ..nn import Transformer
from .balancer import GradientBalancer
from .codebooks import CodebookLearner, Quantised, usage
from .discriminator import (
    MultiScaleSTFTDiscriminator,
    discriminator_loss,
    feature_matching_loss,
    generator_loss,
)
from .init import scaled_init
from .loop import RunFolder, Stateful, averaged, step_seed, train
from .losses import MelLoss, SpectralLoss, WaveformLoss
from .modules import decoder_modules, encoder_modules
from .optim import Muon, Optimisers, cosine, split_parameters
from .recipe import CodecRecipe
from .speech import Batches

OUT_LOSSES = ("mel", "spectral", "waveform", "adversarial", "feature")


def optimisers(codec: MimiAudioCodec, recipe: CodecRecipe, heads: list[Tensor]) -> Optimisers:
    """AdamW, with decay on the transformers only, and on request Muon for the weight matrices."""
    sides = [(decoder_modules(codec), 1.0)]
    if recipe.train_encoder:
        sides.append((encoder_modules(codec), recipe.encoder_lr))
    decayed = {id(p) for m in codec.modules() if isinstance(m, Transformer) for p in m.parameters() if p.dim() > 1}
    adam, muon = [], []
    for modules, share in sides:
        matrices, others = split_parameters(modules)
        if recipe.muon_lr:
            muon.append(dict(params=matrices, share=share))
        else:
            others = matrices + others
        for decay in (True, False):
            if some := [p for p in others if (id(p) in decayed) == decay]:
                adam.append(dict(params=some, share=share, weight_decay=recipe.weight_decay * decay))
    if heads:
        adam.append(dict(params=heads, weight_decay=0.0))
    parts = {"adam": (torch.optim.AdamW(adam, recipe.lr, betas=recipe.betas), recipe.lr)}
    if muon:
        parts["muon"] = (Muon(muon, recipe.muon_lr), recipe.muon_lr)
    return Optimisers(parts)


class CodeCounts(nn.Module):
    """How often each code was given since the last look: perplexity per level for the log."""

    def __init__(self, levels: int, size: int):
        super().__init__()
        self.register_buffer("counts", torch.zeros(levels, size))

    @torch.no_grad()
    def add(self, codes: Tensor) -> None:
        for level, counts in enumerate(self.counts):
            counts += torch.bincount(codes[:, level].flatten(), minlength=len(counts))

    def take(self) -> dict[str, float]:
        found = {f"perplexity_{i + 1}": usage(c, len(c)).perplexity for i, c in enumerate(self.counts) if c.sum()}
        self.counts.zero_()
        return found


class CodecTraining:
    """One end-to-end run: the model, all that teaches it, and `step(n)`, which makes step n."""

    def __init__(
        self,
        recipe: CodecRecipe,
        batches: Batches,
        teacher: Callable[[Tensor], Tensor] | None = None,
        device: str = "cpu",
        start: MimiAudioCodec | None = None,
    ):
        self.recipe, self.batches, self.device = recipe, batches, torch.device(device)
        torch.manual_seed(recipe.seed)
        self.codec = (self._new_codec() if start is None else start).train().to(device)
        self.learner = CodebookLearner(self.codec.quantizer, recipe.codebooks).to(device)
        self.learner.train(recipe.train_encoder)
        if not recipe.train_encoder:
            for module in encoder_modules(self.codec):
                module.requires_grad_(False)
        self.distillation = self._new_distillation(teacher)
        self.teacher = teacher
        self.optimisers = optimisers(
            self.codec, recipe, list(self.distillation.parameters()) if self.distillation else []
        )
        self.average = None
        if recipe.weight_ema:
            self.average = AveragedModel(self.codec, multi_avg_fn=get_ema_multi_avg_fn(recipe.weight_ema))
        self.mel_loss = MelLoss().to(device)
        self.losses = {
            "mel": self.mel_loss,
            "spectral": SpectralLoss().to(device),
            "waveform": WaveformLoss(recipe.waveform_below).to(device),
        }
        self.losses = {name: loss for name, loss in self.losses.items() if getattr(recipe, name)}
        weights = {name: getattr(recipe, name) for name in OUT_LOSSES if getattr(recipe, name)}
        self.balancer = GradientBalancer(weights) if recipe.balance else None
        self.critic = self.critic_optimiser = None
        if recipe.adversarial or recipe.feature:
            self.critic = MultiScaleSTFTDiscriminator(recipe.critic_filters, recipe.critic_scales).to(device)
            self.critic_optimiser = torch.optim.Adam(self.critic.parameters(), recipe.critic_lr, betas=(0.5, 0.9))
        self.counts = CodeCounts(self.codec.config.n_codebooks, self.codec.config.codebook_size).to(device)

    def _new_codec(self) -> MimiAudioCodec:
        if self.recipe.start is None:
            return scaled_init(MimiAudioCodec(self.recipe.codec))
        codec = MimiAudioCodec.from_pretrained(self.recipe.start)
        if codec.config != self.recipe.codec:
            raise ValueError(f"{self.recipe.start!r} is not a codec of the preset {self.recipe.preset!r}")
        return codec

    def _new_distillation(self, teacher: Callable[[Tensor], Tensor] | None) -> nn.Module | None:
        if not self.recipe.semantic or (teacher is None and self.recipe.distillation != "phones"):
            return None
        from .distillation import Distillation

        width = self.codec.config.codebook_dim
        targets = len(PHONES) if teacher is None else teacher.dim
        return Distillation(width, targets, self.recipe.distillation).to(self.device)

    # ------------------------------------------------------------------------------------------- a step

    def step(self, step: int) -> dict[str, float]:
        """Make one step; returns its losses."""
        recipe = self.recipe
        rng, generator = step_seed(recipe.seed, step)
        if step == recipe.quantise_from and recipe.train_encoder and recipe.fit_frames:
            self.fit_codebooks()
        wav, phones = (x.to(self.device) for x in self.batches(rng, False))
        with self._half(), torch.set_grad_enabled(recipe.train_encoder):
            latent = self.codec.to_latent(wav)
        # codebooks are averages over many steps, so they are kept in single precision
        found = self.learner(latent.float(), generator, quantised=0.0 if step < recipe.quantise_from else None)
        with self._half():
            sound = self.codec.from_latent(found.latent)
        sound = sound.float()
        self.counts.add(found.codes)
        on_sound = {name: loss(sound[:, 0], wav[:, 0]) for name, loss in self.losses.items()}
        values = {}
        if self.critic and step >= recipe.critic_from and step % recipe.critic_every == 0:
            adversarial, values["critic"] = self._adversarial(wav, sound, generator)
            on_sound |= adversarial
        on_latent = self._latent_losses(found, wav, phones, step)
        self._descend(step, sound, on_sound, on_latent)
        return values | {name: float(loss.detach()) for name, loss in {**on_sound, **on_latent}.items()}

    def _half(self) -> torch.autocast:
        """Where the recipe asks for it, the convolutions and transformers work in bfloat16."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.precision == "bfloat16")

    def _latent_losses(self, found: Quantised, wav: Tensor, phones: Tensor, step: int) -> dict[str, Tensor]:
        if not self.recipe.train_encoder:
            return {}
        losses = {"commitment": found.commitment} if step >= self.recipe.quantise_from else {}
        if self.distillation:
            target = phones if self.teacher is None else self.teacher(wav)
            losses["semantic"] = self.distillation(found.semantic, target)
        return losses

    def _adversarial(self, wav: Tensor, sound: Tensor, generator: torch.Generator) -> tuple[dict[str, Tensor], float]:
        """Teach the critic on this step's sounds, then ask it: the losses for the codec, and the critic's own."""
        real, fake = self._stretch(generator, wav, sound)
        self.critic.requires_grad_(True)
        real_logits, real_features = self.critic(real)
        loss = discriminator_loss(real_logits, self.critic(fake.detach())[0])
        self.critic_optimiser.zero_grad()
        loss.backward()
        self.critic_optimiser.step()
        self.critic.requires_grad_(False)
        logits, features = self.critic(fake)
        losses = {"adversarial": generator_loss(logits), "feature": feature_matching_loss(real_features, features)}
        return {name: loss for name, loss in losses.items() if getattr(self.recipe, name)}, float(loss.detach())

    def _stretch(self, generator: torch.Generator, *sounds: Tensor) -> Iterator[Tensor]:
        """The same random stretch of every sound, as long as the critic wants."""
        wanted, there = int(self.recipe.critic_seconds * self.codec.sample_rate), sounds[0].shape[-1]
        if not 0 < wanted < there:
            return iter(sounds)
        start = int(torch.randint(there - wanted + 1, (), generator=generator))
        return (sound[..., start : start + wanted] for sound in sounds)

    def _descend(self, step: int, sound: Tensor, on_sound: dict[str, Tensor], on_latent: dict[str, Tensor]) -> None:
        recipe = self.recipe
        self.optimisers.zero_grad()
        latent = sum((getattr(recipe, name) * loss for name, loss in on_latent.items()), sound.new_zeros(()))
        if self.balancer:
            pull = self.balancer.gradient(on_sound, sound)
            tensors, gradients = ([sound, latent], [pull, None]) if on_latent else ([sound], [pull])
            torch.autograd.backward(tensors, gradients)
        else:
            (latent + sum(getattr(recipe, name) * loss for name, loss in on_sound.items())).backward()
        nn.utils.clip_grad_norm_(self.optimisers.parameters(), recipe.clip)
        self.optimisers.step(cosine(step / recipe.steps, step, recipe.warm_up, recipe.lr_floor))
        if self.average:
            self.average.update_parameters(self.codec)

    # --------------------------------------------------------------------------------- around the steps

    @torch.no_grad()
    def fit_codebooks(self) -> None:
        """Place the codebooks by k-means on what the encoder gives for `fit_frames` frames."""
        latents, step = [], 0
        while sum(len(part) for part in latents) < self.recipe.fit_frames:
            wav, _ = self.batches(step_seed(self.recipe.seed + 1, step)[0], False)
            latents.append(self.codec.to_latent(wav.to(self.device)).transpose(1, 2).flatten(0, 1))
            step += 1
        self.learner.fit(torch.cat(latents), seed=self.recipe.seed)

    def parts(self) -> dict[str, Stateful]:
        """Everything that a checkpoint must hold."""
        found = {
            "codec": self.codec,
            "learner": self.learner,
            "optimisers": self.optimisers,
            "counts": self.counts,
            "average": self.average,
            "balancer": self.balancer,
            "distillation": self.distillation,
            "critic": self.critic,
            "critic_optimiser": self.critic_optimiser,
        }
        return {name: part for name, part in found.items() if part is not None}

    def result(self) -> MimiAudioCodec:
        """The codec to use: averaged weights, the codebooks as they are now."""
        codec = copy.deepcopy(self.codec)
        if self.average:
            codec.load_state_dict(dict(self.average.module.named_parameters()), strict=False)
        return codec.eval()

    @torch.no_grad()
    def check(self, held_out: dict[str, Tensor]) -> dict[str, float]:
        """Mel loss of each held-out speaker with all codebooks, and how evenly the codes were used."""
        codec, values = self.result(), {}
        for name, wav in held_out.items():
            wav = wav.to(self.device)
            values[f"{name}_held_out"] = float(self.mel_loss(codec.decode(codec.encode(wav))[:, 0], wav[:, 0]))
        return values | self.counts.take() | {"revived": int(self.learner.revived)}

    @torch.no_grad()
    def show(self, held_out: dict[str, Tensor]) -> dict[str, Tensor]:
        """The first crop of each held-out speaker, encoded and decoded: sounds [S]."""
        codec = self.result()
        return {name: codec.decode(codec.encode(wav[:1].to(self.device)))[0, 0] for name, wav in held_out.items()}


def load_result(folder: RunFolder, name: str, config: MimiConfig) -> MimiAudioCodec:
    """The codec of the last checkpoint of `name`, as `CodecTraining.result` gives it, without data or teacher."""
    parts = folder.load(name)["parts"]
    codec = MimiAudioCodec(config)
    codec.load_state_dict(parts["codec"])
    weights = dict(codec.named_parameters())
    codec.load_state_dict({key: tensor for key, tensor in averaged(parts).items() if key in weights}, strict=False)
    return codec.eval()


def train_codec(
    folder: RunFolder,
    name: str,
    training: CodecTraining,
    held_out: dict[str, Tensor],
    check_every: int = 500,
    save_every: int = 250,
    tensorboard: bool = False,
) -> MimiAudioCodec:
    """Run a training to its end, or on from its last checkpoint; returns the codec."""
    train(
        folder,
        name,
        training.recipe.steps,
        training.step,
        training.parts(),
        check=lambda: training.check(held_out),
        show=lambda: training.show(held_out),
        check_every=check_every,
        save_every=save_every,
        tensorboard=tensorboard,
    )
    return training.result()
