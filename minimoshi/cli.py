"""The command line: `minimoshi talk`, `say`, `transcribe`, `codec`, `train`, `evaluate`, `data`, `serve`, and more.

A wrong input ends with one line that says what to do and exit status 2; nothing that exists is overwritten unasked.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        return options.run(options) or 0
    except (ValueError, FileNotFoundError, ImportError) as error:
        print(f"minimoshi: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("minimoshi: stopped", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    from .data import command as data
    from .evaluation import command as report
    from .evaluation.dialogue import command as behaviour
    from .evaluation.dialogue import session_command as long_session
    from .serving import command as serving
    from .training import all_command, helium, moshi_command
    from .training import command as training

    parser = argparse.ArgumentParser(
        prog="minimoshi", description="An educational reference of Moshi: full-duplex spoken dialogue."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    talk = commands.add_parser("talk", help="one side of a conversation in, both sides out")
    talk.add_argument("input", metavar="IN", help="what the user says (WAV, FLAC, OGG, MP3)")
    talk.add_argument(
        "output", metavar="OUT", help="stereo sound, left Moshi, right the user; the words go to OUT with .json"
    )
    talk.add_argument("--seed", type=int, default=0, help="same seed, same answer (default 0)")
    talk.add_argument(
        "--silence-after", type=float, default=6.0, metavar="S", help="seconds for Moshi to finish (default 6)"
    )
    talk.add_argument("--temperature", type=float, help="of the audio tokens; 0 is greedy (default: the model's own)")
    talk.add_argument("--text-temperature", type=float, help="of the text tokens (default: the model's own)")
    _file_options(talk)
    talk.set_defaults(run=_talk)

    say = commands.add_parser("say", help="a text in Moshi's voice")
    say.add_argument("text", metavar="TEXT", help="the tiny model knows the words of the mini-world only")
    say.add_argument("output", metavar="OUT")
    say.add_argument("--seed", type=int, default=0, help="same seed, same sound (default 0)")
    say.add_argument("--temperature", type=float, help="of the audio tokens (default: the model's own)")
    say.add_argument("--model", default="tiny", help="a shipped name or a folder (default tiny)")
    say.add_argument("--force", action="store_true", help="overwrite files that exist")
    say.set_defaults(run=_say)

    write = commands.add_parser("transcribe", help="what is said in a recording, word by word with times")
    write.add_argument("input", metavar="IN", help="speech (WAV, FLAC, OGG, MP3)")
    write.add_argument("output", metavar="OUT", nargs="?", help="JSON file for the words (default: only the screen)")
    _file_options(write)
    write.set_defaults(run=_transcribe)

    codec = commands.add_parser("codec", help="speech through the codec and back")
    codec.add_argument("input", metavar="IN")
    codec.add_argument("output", metavar="OUT")
    codec.add_argument("--quantizers", type=int, metavar="N", help="codebooks to keep (default: all the model uses)")
    _file_options(codec)
    codec.set_defaults(run=_codec)

    info = commands.add_parser("info", help="sizes and costs of a preset")
    info.add_argument("preset", nargs="?", choices=["tiny", "small", "full"], help="default: all three")
    info.set_defaults(run=_info)

    commands.add_parser("doctor", help="check that everything needed is here and works").set_defaults(run=_doctor)

    bench = commands.add_parser("bench", help="time every part, beside the official packages where they are installed")
    bench.add_argument("--threads", type=int, default=1)
    bench.add_argument("--calls", type=int, default=100, help="timed calls per case (default 100)")
    bench.add_argument("--only", nargs="+", metavar="CASE", help="some of the cases alone")
    bench.add_argument("--no-official", action="store_true", help="leave the official packages out")
    bench.add_argument("--json", metavar="FILE", help="write the figures there too")
    bench.add_argument("--force", action="store_true", help="overwrite that file")
    bench.set_defaults(run=_bench)

    start = commands.add_parser("start", help="copy the course into a folder of your own")
    start.add_argument("folder", metavar="FOLDER")
    start.set_defaults(run=_start)

    grade = commands.add_parser("grade", help="judge students' notebooks on hidden inputs")
    grade.add_argument("paths", nargs="+", metavar="PATH", help="notebooks, or students' folders")
    grade.add_argument("--seed", type=int, help="of the hidden inputs (default: drawn and printed)")
    grade.add_argument("--out", metavar="FILE", help="marks as .csv or .json")
    grade.add_argument("--force", action="store_true", help="overwrite FILE")
    grade.set_defaults(run=_grade)

    train = commands.add_parser("train", help="train a model from nothing")
    trained = train.add_subparsers(required=True, metavar="WHAT")
    for name, module, what in (
        ("codec", training, "the codec, in stages that can be stopped and started again"),
        ("helium", helium, "the text model and its tokenizer"),
        ("moshi", moshi_command, "the generator: voices, tokens, conversations, in stages"),
        ("all", all_command, "codec, text, dialogue and transcriber, from an empty folder to a Moshi to talk to"),
    ):
        _delegate(trained.add_parser(name, help=what), module)
    evaluate = commands.add_parser("evaluate", help="report cards")
    evaluated = evaluate.add_subparsers(required=True, metavar="WHAT")
    for name, module, what in (
        ("codec", report, "words, sound and tokens of a codec, beside others"),
        ("dialogue", behaviour, "answers, turns and speech of a model, running freely"),
        ("session", long_session, "answers in one conversation of half an hour, tenth by tenth"),
    ):
        _delegate(evaluated.add_parser(name, help=what), module)
    data.add_commands(commands.add_parser("data", help="stereo dialogues: check them, turn them into tokens"))

    live = commands.add_parser("serve", help="talk to Moshi in a browser")
    serving.add_serve_arguments(live)
    live.set_defaults(run=serving.serve)
    ring = commands.add_parser("call", help="play a file to a live server, ours or the official one")
    serving.add_call_arguments(ring)
    ring.set_defaults(run=serving.call)
    crowd = commands.add_parser("load", help="how many conversations at once this machine bears, and for how long")
    serving.add_load_arguments(crowd)
    crowd.set_defaults(run=serving.load)
    return parser


def _delegate(parser: argparse.ArgumentParser, module) -> None:
    """A command whose options and work are in a module of its own."""
    module.add_arguments(parser)
    parser.set_defaults(run=lambda options: module.run(options))


def _file_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="tiny", help="a shipped name or a folder (default tiny)")
    parser.add_argument("--resample", action="store_true", help="convert a file that is not sampled at 24 kHz")
    parser.add_argument("--mono", action="store_true", help="average the channels of a stereo file")
    parser.add_argument("--force", action="store_true", help="overwrite files that exist")


def _read_mono(options: argparse.Namespace):
    from .audio import load_audio

    wav = load_audio(options.input, resample=options.resample, mono=options.mono)
    if wav.shape[0] != 1:
        raise ValueError(
            f"{options.input} has {wav.shape[0]} channels, one voice is needed; add --mono to average them"
        )
    return wav[0]


def _talk(options: argparse.Namespace) -> None:
    import torch

    from .audio import check_sound_path, check_writable
    from .moshi import FullDuplexDialogueModel

    output = Path(options.output)
    check_sound_path(output, options.force)
    check_writable(output.with_suffix(".json"), options.force)
    wav = _read_mono(options)
    torch.set_num_threads(1)  # small matrices: one thread is the fastest
    model = FullDuplexDialogueModel.from_pretrained(options.model)
    if not model.generator.trained:
        print(
            f"note: the generator of {options.model!r} is not trained yet: Moshi babbles, everything around it is real"
        )
    started = time.perf_counter()
    sampling = _sampling(options, "temperature", "text_temperature")
    dialogue = model.respond(
        wav, seed=options.seed, silence_after=options.silence_after, progress=True, **sampling
    )
    seconds = dialogue.stereo.shape[1] / model.codec.sample_rate
    dialogue.save(output, force=options.force)
    spoken = "".join(c if c.isprintable() else "\N{MIDDLE DOT}" for c in dialogue.transcript)
    print(f"Moshi: {spoken or '(silent)'}")
    print(
        f"{seconds:.1f} s of conversation in {time.perf_counter() - started:.1f} s -> "
        f"{output} (left Moshi, right user), {output.with_suffix('.json')}"
    )


def _sampling(options: argparse.Namespace, *names: str) -> dict[str, float]:
    """Those of the named options that were given; for the others the model has its own."""
    return {name: getattr(options, name) for name in names if getattr(options, name) is not None}


def _say(options: argparse.Namespace) -> None:
    import torch

    from .audio import check_sound_path, save_audio
    from .moshi import FullDuplexDialogueModel

    check_sound_path(options.output, options.force)
    torch.set_num_threads(1)  # small matrices: one thread is the fastest
    model = FullDuplexDialogueModel.from_pretrained(options.model)
    spoken = model.say(options.text, seed=options.seed, **_sampling(options, "temperature"))
    if options.model == "tiny" and (strange := _not_in_the_mini_world(options.text)):
        print(
            f"minimoshi: never heard in the mini-world: {', '.join(strange)}; what you hear there is a guess. "
            'It can say: "three plus four is seven", "hello lucy", "the sky is blue", "you sound fast"',
            file=sys.stderr,
        )
    save_audio(options.output, spoken.stereo[0], force=options.force)
    print(f"{spoken.stereo.shape[1] / model.codec.sample_rate:.1f} s of speech in {options.output}")


def _not_in_the_mini_world(text: str) -> list[str]:
    from .data.miniworld import vocabulary

    known = set(vocabulary())
    return [word for word in dict.fromkeys(text.lower().split()) if word not in known]


def _transcribe(options: argparse.Namespace) -> None:
    import torch

    from .audio import check_writable
    from .moshi import Transcriber

    output = Path(options.output) if options.output else None
    if output:
        check_writable(output, options.force)
    wav = _read_mono(options)
    torch.set_num_threads(1)  # small matrices: one thread is the fastest
    words = Transcriber.from_pretrained(options.model)(wav)
    for word in words:
        print(f"{word.start:7.2f} s  {word.text}")
    if not words:
        print("(no words)")
    if output:
        text = {"text": " ".join(word.text for word in words), "words": [asdict(word) for word in words]}
        output.write_text(json.dumps(text, indent=1) + "\n", encoding="utf-8")


def _codec(options: argparse.Namespace) -> None:
    import torch

    from .audio import check_sound_path, save_audio
    from .evaluation.measures import MEL_WINDOW, log_mel_distance
    from .mimi import MimiAudioCodec

    check_sound_path(options.output, options.force)
    wav = _read_mono(options)
    codec = MimiAudioCodec.from_pretrained(options.model)
    if options.quantizers is not None:
        if not 1 <= options.quantizers <= codec.config.n_codebooks:
            raise ValueError(f"--quantizers must be 1 to {codec.config.n_codebooks}, got {options.quantizers}")
        codec.use_quantizers(options.quantizers)
    torch.set_num_threads(1)
    started = time.perf_counter()
    decoded = _through(codec, wav)
    elapsed, seconds = time.perf_counter() - started, len(wav) / codec.sample_rate
    save_audio(options.output, decoded, force=options.force)
    bits = codec.config.bits_per_second
    print(
        f"{seconds:.2f} s -> {-(-len(wav) // codec.frame_size)} frames x {codec.n_quantizers} codebooks at "
        f"{codec.frame_rate} Hz = {bits:.0f} bit/s, {16 * codec.sample_rate / bits:.0f} times less than 16-bit PCM"
    )
    speed = f"{seconds / elapsed:.0f} times faster than real time -> {options.output}"
    if len(wav) < MEL_WINDOW:
        print(f"too short to measure, -> {options.output}")
    else:
        print(f"log-mel distance {log_mel_distance(wav.numpy(), decoded.numpy()):.2f} dB, {speed}")


def _through(codec, wav):
    """float [S] -> float [S] through encoder and decoder, a second at a time: memory does not grow with the file."""
    import torch
    from torch.nn import functional as F
    from tqdm import tqdm

    state, size = codec.initial_state(), codec.frame_size
    padded = F.pad(wav, (0, -len(wav) % size))
    with torch.inference_mode():
        pieces = [
            codec.decode(codec.encode(piece[None, None], state), state)[0, 0]
            for piece in tqdm(
                padded.split(12 * size), unit="s", unit_scale=0.96, disable=len(wav) < 30 * codec.sample_rate
            )
        ]
    return torch.cat(pieces)[: len(wav)]


def _info(options: argparse.Namespace) -> None:
    from .costs import costs

    for preset in [options.preset] if options.preset else ["tiny", "small", "full"]:
        print(costs(preset))


def _doctor(_: argparse.Namespace) -> int:
    from .doctor import doctor

    return doctor()


def _bench(options: argparse.Namespace) -> None:
    from .audio import check_writable
    from .bench import CASES, bench

    unknown = sorted(set(options.only or ()) - set(CASES))
    if unknown:
        raise ValueError(f"there is no case {', '.join(unknown)}; choose from {', '.join(CASES)}")
    if options.threads < 1 or options.calls < 1:
        raise ValueError("--threads and --calls must be at least 1")
    if options.json:
        check_writable(options.json, options.force)
    result = bench(options.threads, options.calls, options.only, official=not options.no_official)
    print(f"{options.threads} thread(s) of {result['machine']['processor']}, torch {result['machine']['torch']}")
    if options.json:
        Path(options.json).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _grade(options: argparse.Namespace) -> None:
    from .lab.grade import grade  # brings the notebooks' plotting along

    grade(options)


def _start(options: argparse.Namespace) -> None:
    from .start import start

    folder, copied = start(options.folder)
    jupyter = Path(sys.executable).with_name("jupyter")
    print(f"{copied} files copied to {folder}; what was there already is kept. Begin with:")
    print(f"{jupyter if jupyter.exists() else 'jupyter'} lab {folder / 'notebooks' / '00_start_here.ipynb'}")
