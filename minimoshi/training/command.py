"""`minimoshi train codec`: from an empty folder to a codec, in stages that can be stopped and started again."""

from __future__ import annotations

import argparse

from .named import add_run_arguments, begin, pairs, wanted

STAGES = ("corpus", "teachers", "encoder", "decoder", "end-to-end", "export")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    recipes = "tiny, tiny-adversarial, reconstruction, paper"
    add_run_arguments(parser, recipes, STAGES, 500, "codec (default RUN_DIR/mimi)")
    parser.add_argument("--human", action="append", default=[], metavar="NAME=FOLDER", help="recordings to train on")
    parser.add_argument("--exclude", nargs="*", default=[], metavar="NAME", help="recordings to leave out")
    parser.add_argument(
        "--recordings", metavar="FOLDER", help="train on this folder of audio files alone instead of a spoken corpus"
    )
    parser.add_argument("--channels", choices=["refuse", "mix", "left", "right"], default="refuse")
    parser.add_argument("--resample", action="store_true", help="convert recordings that are not sampled at 24 kHz")
    parser.add_argument("--tensorboard", action="store_true", help="write event files as well")


def run(options: argparse.Namespace) -> None:
    from .recipe import CodecRecipe

    recipe, human = CodecRecipe.read(options.recipe, options.set), pairs("--human", "FOLDER", options.human)
    stages = _Stages(options, recipe, begin(options, recipe), human)
    for stage in wanted(options, STAGES):
        stages.run(stage)


class _Stages:
    def __init__(self, options: argparse.Namespace, recipe, folder, human: dict[str, str]):
        self.options, self.recipe, self.folder, self.human = options, recipe, folder, human

    def run(self, stage: str) -> None:
        from .speech import make_corpus

        if stage == "corpus":
            if not self.options.recordings:
                make_corpus(
                    self.folder.path,
                    self.human,
                    self.options.exclude,
                    self.recipe.seed,
                    lambda **values: self.folder.log("corpus", **values),
                )
        elif stage in ("teachers", "encoder", "decoder"):
            if self.recipe.start == "decoupled":
                decoupled = self._decoupled()
                getattr(decoupled, "make_teachers" if stage == "teachers" else f"train_{stage}")()
        elif stage == "end-to-end":
            self._end_to_end()
        else:
            self._export()

    def _source(self, batch: int, samples: int, changed: bool = True):
        """Crops; changed: as a microphone and a room give them, otherwise as they were said."""
        from ..data.augment import Augmentation
        from .speech import batches, corpus_crops

        if self.options.recordings:
            from ..data.recordings import FolderCrops

            crops = FolderCrops(
                self.options.recordings, channels=self.options.channels, resample=self.options.resample
            )
        else:
            crops = corpus_crops(self.folder.path / "corpus", changed or Augmentation().only_rate())
        return batches(crops, batch, samples)

    def _held_out(self) -> dict:
        from .speech import held_out

        return held_out(self.folder.path / "heldout", 16 * self.recipe.codec.frame_size)

    def _decoupled(self):
        from .decoupled import DecoupledRecipe, DecoupledRun

        kind = {} if self.recipe.semantic else {"semantic": "none"}
        recipe = DecoupledRecipe(preset=self.recipe.preset, seed=self.recipe.seed, **kind)
        samples = recipe.frames * recipe.codec.frame_size
        said = None if self.options.recordings else self._source(recipe.batch, samples, changed=False)
        return DecoupledRun(
            self.folder, recipe, self._source(recipe.batch, samples), self._held_out(), said=said
        )

    def _training(self):
        from .codec import CodecTraining
        from .teachers import open_teacher

        teacher = open_teacher(self.recipe.teacher) if self.recipe.teacher else None
        start = self._decoupled().joined() if self.recipe.start == "decoupled" else None
        source = self._source(self.recipe.batch, self.recipe.samples)
        return CodecTraining(self.recipe, source, teacher, self.options.device, start)

    def _end_to_end(self) -> None:
        from .codec import train_codec

        train_codec(
            self.folder,
            "end-to-end",
            self._training(),
            self._held_out(),
            check_every=self.options.check_every,
            tensorboard=self.options.tensorboard,
        )

    def _export(self) -> None:
        import torch

        from .codec import load_result

        target = self.options.export_to or self.folder.path / "mimi"
        codec = load_result(self.folder, "end-to-end", self.recipe.codec)
        codec.save_pretrained(target, dtype=torch.float16)
        print(f"the codec -> {target}")
