"""Train the generator: from a token grid, predict the text and Moshi's sound of each frame (paper §3.4, §4).

What a step sees is the paper's: the delayed grid in, the next column out, the text weighted against PAD, the semantic
codebook above the acoustic ones. Three things make it learn on a laptop: the depth transformer works on a share of the
frames only; frames of Moshi's own past are hidden now and then; and a head, used in training alone, reads the user's
words out of the temporal transformer, without which a model this small does not begin to listen.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import fmean

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ..config import EPAD_ID, PAD_ID
from ..data.miniworld.grids import Grid
from ..data.miniworld.skills import NAMES, vocabulary
from ..moshi import DepthTransformer, HierarchicalGenerator
from ..moshi.grid import ZERO_TOKEN
from ..text import HeliumModel
from .loop import RunFolder, Stateful, averaged, step_seed
from .moshi_recipe import MoshiRecipe
from .optim import Muon, Optimisers, cycle, split_parameters, trapezoid

# a source of grids: (random, frames) -> Grid
Source = Callable[[random.Random, int], Grid]


REMEMBERED = 3  # words: "five plus eight", "to seven", and the digits that are to be repeated


@dataclass
class Batch:
    """codes int64 [B, K, T], heard int64 [B, T], speaking bool [B, T] (Moshi's sound is worth learning there)."""

    codes: Tensor
    heard: Tensor
    speaking: Tensor


def collect(grids: list[Grid]) -> Batch:
    """Grids of equal length -> a batch."""
    codes, heard, speaking = ([getattr(g, name) for g in grids] for name in ("codes", "heard", "speaking"))
    return Batch(torch.stack(codes), torch.stack(heard), torch.stack(speaking))


def first_generator(recipe: MoshiRecipe) -> HierarchicalGenerator:
    """What a stage begins with: a trained generator, a trained Helium in an untrained one, or nothing trained."""
    if recipe.start is None:
        return HierarchicalGenerator(recipe.model)
    kind, _, path = recipe.start.partition(":")
    if kind == "helium" and path:
        return HierarchicalGenerator(
            recipe.model,
            text_model=HeliumModel.from_pretrained(path),
            audio_model=DepthTransformer(recipe.model.depth),
        )
    generator = HierarchicalGenerator.from_pretrained(recipe.start)
    if recipe.text_behind and generator.config.depth:
        generator = _ears(generator, recipe.text_behind)
    if (generator.config.helium, generator.config.depth) != (recipe.model.helium, recipe.model.depth):
        raise ValueError(f"{recipe.start!r} is not a generator of the preset {recipe.preset!r}")
    return generator


def latest_words(heard: Tensor, many: int) -> Tensor:
    """int64 [B, T], a word where one ends and 0 elsewhere -> [B, T, many]: the last ones so far, the newest first."""
    count = (heard > 0).cumsum(1)
    words = heard.new_zeros(len(heard), heard.shape[1] + many)
    words.scatter_(1, torch.where(heard > 0, count + many - 1, many - 1), heard)
    return torch.stack([words.gather(1, count + many - 1 - back) for back in range(many)], dim=-1)


@functools.cache
def _names() -> list[int]:
    words = vocabulary()
    return [1 + words.index(name) for name in NAMES]


def to_remember(heard: Tensor) -> Tensor:
    """int64 [B, T] as above -> [B, T, REMEMBERED + 1]: the last words so far, and the last name among all of them."""
    told = heard.where(torch.isin(heard, torch.tensor(_names(), device=heard.device)), 0)
    return torch.cat([latest_words(heard, REMEMBERED), latest_words(told, 1)], dim=-1)


def _ears(generator: HierarchicalGenerator, behind: int) -> HierarchicalGenerator:
    """A transcriber that begins with what a model of dialogue knows of words and of its user's voice."""
    listener = HierarchicalGenerator(generator.config.transcriber(behind))
    listener.text_model.load_state_dict(generator.text_model.state_dict())
    tables = generator.audio_embedding.state_dict()  # the user's streams are the last ones
    listener.audio_embedding.load_state_dict({name: table[-listener.config.n_q :] for name, table in tables.items()})
    return listener


class MoshiTraining:
    """One stage: the model, what teaches it, and `step(n)`, which makes step n."""

    def __init__(
        self,
        recipe: MoshiRecipe,
        source: Source,
        device: str = "cpu",
        generator: HierarchicalGenerator | None = None,
        lines: Callable[[random.Random], list[int]] | None = None,
    ):
        self.recipe, self.source, self.lines, self.device = recipe, source, lines, torch.device(device)
        self.hard = 1.0  # share of what the recipe hides, disturbs and asks to be remembered: `step` lets it grow
        torch.manual_seed(recipe.seed)
        self.generator = (generator or first_generator(recipe)).train().to(device)
        # for training only: z [B, T, D] -> logits [B, T, W + 1] of the user's word that has just ended, 0 for none
        width, words = self.generator.config.helium.dim, len(vocabulary()) + 1
        self.hearing = nn.Linear(width, words).to(device)
        # and, if asked for, of the user's last REMEMBERED words and their name: what an answer depends on
        self.remembering = nn.Linear(width, (REMEMBERED + 1) * words).to(device) if recipe.remembering else None
        self.optimisers = self._optimisers()
        self.text_optimisers = self._optimisers() if recipe.text_only else None
        self.average = None
        if recipe.weight_ema:
            self.average = AveragedModel(self.generator, multi_avg_fn=get_ema_multi_avg_fn(recipe.weight_ema))
        # where cycles ended is good on different episodes, and what lies between them on both
        self.ends = AveragedModel(self.generator) if recipe.cycles > 1 else None
        self.context = torch.compile(self.generator.context) if recipe.compile else self.generator.context

    def _optimisers(self) -> Optimisers:
        """AdamW, under which all that has two dimensions decays, and on request Muon for the transformers' matrices."""
        recipe, model = self.recipe, self.generator
        depth = [model.audio_model] if model.audio_model else []
        inside = {id(p) for part in depth for p in part.parameters()}
        trunks = [part.transformer for part in (model.text_model, *depth)]
        matrices = split_parameters(trunks)[0] if recipe.muon_lr else []
        by_muon = {id(p) for p in matrices}
        heads = [p for head in (self.hearing, self.remembering) if head for p in head.parameters()]

        def groups(parameters: Iterable[Tensor]) -> list[dict]:
            kinds: dict[tuple[float, float], list[Tensor]] = {}
            for p in parameters:
                kind = (recipe.depth_lr if id(p) in inside else 1.0, recipe.weight_decay if p.dim() > 1 else 0.0)
                kinds.setdefault(kind, []).append(p)
            return [dict(params=some, share=share, weight_decay=decay) for (share, decay), some in kinds.items()]

        others = groups(p for p in (*model.parameters(), *heads) if id(p) not in by_muon)
        parts = {"adam": (torch.optim.AdamW(others, recipe.lr, betas=recipe.betas), recipe.lr)}
        if matrices:
            parts["muon"] = (Muon(groups(matrices), recipe.muon_lr), recipe.muon_lr)
        return Optimisers(parts)

    # ------------------------------------------------------------------------------------------- a step

    def step(self, step: int) -> dict[str, float]:
        """Make one step; returns its losses."""
        rng, generator = step_seed(self.recipe.seed, step)
        self.hard = min(1.0, (step + 1) / (self.recipe.ease + 1))
        chance = random.Random(int(rng.integers(2**63)))
        if self.recipe.text_only and chance.random() < self.recipe.text_only:
            losses, optimisers = self.text_losses(chance), self.text_optimisers
        else:
            batch = collect([self.source(chance, self.recipe.frames) for _ in range(self.recipe.batch)])
            losses, optimisers = self.losses(batch, generator), self.optimisers
        total = losses.pop("total")
        optimisers.zero_grad()
        total.backward()
        nn.utils.clip_grad_norm_(optimisers.parameters(), self.recipe.clip)
        place, length = cycle(step, self.recipe.steps, self.recipe.cycles)
        optimisers.step(trapezoid(place, length, self.recipe.warm_up, self.recipe.decay))
        if self.average:
            self.average.update_parameters(self.generator)
        if self.ends and place + 1 == length:
            self.ends.update_parameters(self.average.module if self.average else self.generator)
        return {name: float(value) for name, value in losses.items()}

    def losses(self, batch: Batch, generator: torch.Generator | None) -> dict[str, Tensor]:
        """All losses of a batch. With a torch generator something is hidden and frames are drawn, as in training;
        without, everything is shown and every frame in which Moshi speaks is asked."""
        recipe, model = self.recipe, self.generator
        codes, heard, speaking = (x.to(self.device) for x in (batch.codes, batch.heard, batch.speaking))
        if not recipe.monologue:
            codes = torch.cat([torch.full_like(codes[:, :1], PAD_ID), codes[:, 1:]], dim=1)
        elif generator is not None:
            codes = self._moved_text(codes, generator)
        inputs, targets = model.shifted(codes)
        if generator is not None:
            inputs = self._disturbed(inputs, generator)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=recipe.precision == "bfloat16"):
            z = self.context(inputs)
            found = self._text_loss(model.text_model.head(z), targets[:, 0])
            found |= self._hearing_loss(z, heard) if recipe.hearing else {}
            found |= self._remembering_loss(z, heard) if recipe.remembering else {}
            found |= self._audio_loss(z, targets, speaking, generator) if recipe.audio else {}
        asked = [name for name in ("text", "hearing", "remembering", "audio") if name in found]
        weights = {name: getattr(recipe, name) for name in asked}
        if recipe.remembering:
            weights["remembering"] *= self.hard
        found["total"] = sum(weight * found[name] for name, weight in weights.items())
        return {name: value if name == "total" else value.detach() for name, value in found.items()}

    def _text_loss(self, logits: Tensor, target: Tensor) -> dict[str, Tensor]:
        weights = torch.ones(logits.shape[-1], device=logits.device)
        weights[[PAD_ID, EPAD_ID]] = self.recipe.pad_weight
        given = (target != ZERO_TOKEN) & (target != self.generator.text_model.initial_id)  # a delay leaves a gap
        loss = F.cross_entropy(logits[given].float(), target[given], weights)
        words = given & (target != PAD_ID) & (target != EPAD_ID)
        right = (logits[words].argmax(-1) == target[words]).float().mean()
        return {"text": loss, "words_right": right.nan_to_num(1.0)}

    def _hearing_loss(self, z: Tensor, heard: Tensor) -> dict[str, Tensor]:
        """A word may be read one frame after its last: column t sees what the user said up to frame t - 1."""
        logits, target = self.hearing(z)[:, 1:].float(), heard[:, :-1]
        weights = torch.ones(logits.shape[-1], device=logits.device)
        weights[0] = self.recipe.hearing_blank
        loss = F.cross_entropy(logits.flatten(0, 1), target.flatten(), weights)
        words = target > 0
        right = (logits[words].argmax(-1) == target[words]).float().mean()
        return {"hearing": loss, "heard_right": right.nan_to_num(1.0)}

    def _remembering_loss(self, z: Tensor, heard: Tensor) -> dict[str, Tensor]:
        """Asked in every frame from the first word on, so that an answer's end need not look for its question."""
        target = to_remember(heard)[:, :-1]
        logits = self.remembering(z)[:, 1:].unflatten(-1, (REMEMBERED + 1, -1)).float()
        asked = target > 0
        asked[..., -1] = asked[..., 0]  # not to know a name is an answer
        if not asked.any():
            return {"remembering": z.sum() * 0.0}
        loss = F.cross_entropy(logits[asked], target[asked])
        return {"remembering": loss, "remembered_right": (logits[asked].argmax(-1) == target[asked]).float().mean()}

    def _audio_loss(
        self, z: Tensor, targets: Tensor, speaking: Tensor, generator: torch.Generator | None
    ) -> dict[str, Tensor]:
        """Cross-entropy of Moshi's codebooks on some of the frames."""
        model, dep_q = self.generator, self.generator.config.dep_q
        near = speaking | F.pad(speaking, (1, 0))[:, :-1]  # acoustic tokens come a frame later
        if generator is None:
            chosen = near
        else:
            share = torch.where(near, self.recipe.depth_active, self.recipe.depth_silent)
            chosen = torch.rand(near.shape, generator=generator).to(near.device) < share
        if not chosen.any():
            return {"audio": z.sum() * 0.0}
        audio = targets[:, 1 : 1 + dep_q].transpose(1, 2)[chosen].T[None]  # [1, dep_q, N]
        logits = model.audio_model(z[chosen][None], targets[:, 0][chosen][None], audio).float()
        given = (audio != ZERO_TOKEN) & (audio != model.config.card)  # the delay leaves nothing to predict
        by_level = F.cross_entropy(logits.transpose(1, 3).transpose(2, 3), audio.where(given, 0), reduction="none")
        by_level = (by_level * given).sum((0, 2)) / given.sum((0, 2)).clamp(min=1)
        weights = torch.ones(dep_q, device=z.device)
        weights[0] = self.recipe.semantic_weight
        loss = (by_level * weights).sum() / weights.sum()
        return {"audio": loss} | {f"codebook_{q + 1}": by_level[q] for q in range(dep_q)}

    # ------------------------------------------------------------------------------ what the model is shown

    def _moved_text(self, codes: Tensor, generator: torch.Generator) -> Tensor:
        """Text earlier or later than the sound, or none: tokens of whole episodes (paper §4.2, pre-training)."""
        recipe = self.recipe
        if not (recipe.text_delay or recipe.text_mask):
            return codes
        codes, frames = codes.clone(), round(recipe.text_delay * 12.5)
        for row in codes:
            if float(torch.rand((), generator=generator)) < recipe.text_mask:
                row[0] = ZERO_TOKEN
            elif frames and (shift := int(torch.randint(-frames, frames + 1, (), generator=generator))):
                moved = torch.full_like(row[0], PAD_ID)
                kept = row[0, : len(moved) - shift] if shift > 0 else row[0, -shift:]
                moved[max(0, shift) : max(0, shift) + len(kept)] = kept
                row[0] = moved
        return codes

    def _disturbed(self, inputs: Tensor, generator: torch.Generator) -> Tensor:
        """Some of its own past hidden, sound and text; some of the user's codes replaced. All shares times `hard`."""
        recipe, config, hard = self.recipe, self.generator.config, self.hard
        inputs, dep_q = inputs.clone(), config.dep_q
        if dep_q:
            chance = torch.rand((len(inputs), 1, inputs.shape[2]), generator=generator).to(inputs.device)
            deaf = torch.rand((len(inputs), 1, 1), generator=generator).to(inputs.device) < hard * recipe.own_hide
            own = inputs[:, 1 : 1 + dep_q]
            inputs[:, 1 : 1 + dep_q] = own.where((chance >= hard * recipe.own_drop) & ~deaf, ZERO_TOKEN)
        if config.n_user and (recipe.user_noise or recipe.user_drop):
            user = inputs[:, 1 + dep_q :]
            chance = torch.rand((len(inputs), 1, inputs.shape[2]), generator=generator).to(inputs.device)
            user = user.where(chance >= hard * recipe.user_drop, ZERO_TOKEN)
            chance = torch.rand(user.shape, generator=generator).to(inputs.device)
            other = torch.randint(config.card, user.shape, generator=generator).to(inputs.device)
            inputs[:, 1 + dep_q :] = user.where((chance >= hard * recipe.user_noise) | (user < 0), other)
        if config.n_user and recipe.user_shallow:
            chance = torch.rand((len(inputs), 1, 1), generator=generator).to(inputs.device)
            shown = torch.randint(1, config.n_user, (len(inputs), 1, 1), generator=generator).to(inputs.device)
            deep = torch.arange(config.n_user, device=inputs.device)[None, :, None] >= shown
            inputs[:, 1 + dep_q :].masked_fill_((chance < hard * recipe.user_shallow) & deep, ZERO_TOKEN)
        if recipe.text_drop:
            chance = torch.rand(inputs[:, 0].shape, generator=generator).to(inputs.device)
            inputs[:, 0] = inputs[:, 0].where(chance >= hard * recipe.text_drop, ZERO_TOKEN)
        return inputs

    def text_losses(self, chance: random.Random) -> dict[str, Tensor]:
        """A batch of text alone, through the same transformer (paper §4.2: half of the pre-training batches)."""
        lines = [self.lines(chance) for _ in range(4 * self.recipe.batch)]
        longest = max(len(line) for line in lines)
        tokens = torch.tensor([line + [ZERO_TOKEN] * (longest - len(line)) for line in lines], device=self.device)
        first = torch.full_like(tokens[:, :1], self.generator.text_model.initial_id)
        logits = self.generator.text_model(torch.cat([first, tokens[:, :-1]], dim=1))
        given = tokens != ZERO_TOKEN
        loss = F.cross_entropy(logits[given].float(), tokens[given])
        return {"total": loss, "lines": loss.detach()}

    # --------------------------------------------------------------------------------- around the steps

    def parts(self) -> dict[str, Stateful]:
        """Everything that a checkpoint must hold."""
        found = {
            "generator": self.generator,
            "hearing": self.hearing,
            "remembering": self.remembering,
            "optimisers": self.optimisers,
            "text_optimisers": self.text_optimisers,
            "average": self.average,
            "ends": self.ends,
        }
        return {name: part for name, part in found.items() if part is not None}

    def result(self) -> HierarchicalGenerator:
        """The generator to use: the mean of the cycles' ends, or the running average of the weights until one ends."""
        generator = HierarchicalGenerator(self.generator.config)
        ended = self.ends if self.ends and self.ends.n_averaged else None
        best = ended or self.average
        generator.load_state_dict((best.module if best else self.generator).state_dict())
        generator.sampling = self.recipe.sampling
        return generator.eval()

    @torch.no_grad()
    def check(self, held_out: list[Batch]) -> dict[str, float]:
        """Losses on episodes that training never saw, everything shown."""
        rows = [self.losses(batch, None) for batch in held_out]
        names = dict.fromkeys(name for row in rows for name in row if name != "total")
        # where nobody speaks there is, for one, no word to remember: such a batch has no part in that mean
        return {f"{name}_held_out": fmean(float(row[name]) for row in rows if name in row) for name in names}


def load_result(folder: RunFolder, name: str, recipe: MoshiRecipe) -> HierarchicalGenerator:
    """The generator of the last checkpoint of `name`, as `MoshiTraining.result` gives it, without data."""
    parts = folder.load(name)["parts"]
    generator = HierarchicalGenerator(recipe.model)
    generator.load_state_dict(averaged(parts, "ends") or averaged(parts) or parts["generator"])
    generator.sampling = recipe.sampling
    return generator.eval()
