"""`minimoshi train all`: codec, text, dialogue, transcriber: from an empty folder to a Moshi one can talk to."""

from __future__ import annotations

import argparse
from pathlib import Path

from . import command as codec
from . import helium, moshi_command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--run-dir", required=True, metavar="FOLDER", help="for everything that the run makes")
    parser.add_argument("--preset", default="tiny", choices=["tiny"], help="recipes of all stages (default tiny)")
    parser.add_argument("--human", action="append", default=[], metavar="NAME=FOLDER", help="recordings for the codec")
    parser.add_argument("--users", type=int, default=230, help="voices of users; each has a twin (default 230)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default cpu)")


def plan(options: argparse.Namespace) -> list[tuple[object, list[str]]]:
    """The commands that follow each other: (module of the command, its arguments)."""
    root = Path(options.run_dir)
    common = ["--recipe", options.preset, "--device", options.device]
    human = [part for item in options.human for part in ("--human", item)]
    speech = ["--users", str(options.users), "--codec", str(root / "codec" / "mimi"), "--tokenizer", str(root / "text")]
    speech += ["--takes", str(root / "moshi" / "takes")]
    listener = ["--recipe", "transcriber", "--device", options.device]
    listener += ["--set", f"start={root / 'moshi' / 'generator'}"]  # which knows the words, and how users say them
    return [
        (codec, ["--run-dir", str(root / "codec"), *common, *human]),
        (helium, ["--run-dir", str(root / "text"), *common]),
        (moshi_command, ["--run-dir", str(root / "moshi"), *common, *speech]),
        (moshi_command, ["--run-dir", str(root / "transcriber"), *listener, *speech]),
    ]


def run(options: argparse.Namespace) -> None:
    """Whatever was finished before is left as it is; whatever was stopped goes on."""
    from ..mimi import MimiAudioCodec
    from ..moshi import FullDuplexDialogueModel, HierarchicalGenerator
    from ..text import TextTokenizer

    for module, arguments in plan(options):
        parser = argparse.ArgumentParser()
        module.add_arguments(parser)
        module.run(parser.parse_args(arguments))
    root = Path(options.run_dir)
    model = FullDuplexDialogueModel(
        codec=MimiAudioCodec.from_pretrained(root / "codec" / "mimi"),
        generator=HierarchicalGenerator.from_pretrained(root / "moshi" / "generator"),
        tokenizer=TextTokenizer.from_pretrained(root / "text"),
    )
    model.save_pretrained(root / "model")
    print(f"talk to it: minimoshi talk IN OUT --model {root / 'model'}")
