"""`minimoshi train all`: its parts are commands that exist, each fed with what the one before made."""

import argparse

import numpy as np
import pytest

from minimoshi.cli import main
from minimoshi.data.voices import Speech
from minimoshi.training import all_command


def test_every_part_is_a_command_that_understands_its_arguments(tmp_path):
    parser = argparse.ArgumentParser()
    all_command.add_arguments(parser)
    options = parser.parse_args(["--run-dir", str(tmp_path), "--human", "june=somewhere", "--users", "7"])
    parsed = []
    for module, arguments in all_command.plan(options):
        own = argparse.ArgumentParser()
        module.add_arguments(own)
        parsed.append(own.parse_args(arguments))
    codec, text, moshi, transcriber = parsed
    assert codec.human == ["june=somewhere"] and moshi.users == 7
    assert moshi.codec == str(tmp_path / "codec" / "mimi") and moshi.tokenizer == text.run_dir
    assert transcriber.recipe == "transcriber" and transcriber.takes == moshi.takes  # said and encoded once
    assert len({options.run_dir for options in parsed}) == 4


def test_moshi_is_recorded_until_it_is_understood_through_the_codec(tmp_path, monkeypatch):
    recorded = []
    monkeypatch.setattr("minimoshi.evaluation.judge.judge", lambda name: lambda wav, rate: "okay")
    monkeypatch.setattr("minimoshi.data.miniworld.bank.record_bank", lambda *arguments: recorded.append(arguments))
    assert main(["train", "moshi", "--run-dir", str(tmp_path), "--users", "3", "--stage", "takes"]) == 0
    ((folder, users, seed, clear),) = recorded
    assert (folder, users, seed) == (tmp_path / "takes", 3, 0)
    noise = Speech(np.full(9600, 0.1, np.float32), [])
    monkeypatch.setattr("minimoshi.training.clarity.moshi_take", lambda phrase, speed: noise)  # needs no engine
    assert clear("okay", noise, 0) == 1.0 and clear("hello", noise, 0) == 0.0


@pytest.mark.parametrize("command", ["all", "moshi"])
def test_help_says_what_comes_out(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["train", command, "--help"])
    assert ended.value.code == 0 and "--run-dir" in capsys.readouterr().out
