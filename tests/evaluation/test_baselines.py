"""Codec 2 and Opus: as long as the original, in time with it, and missed by name when they are not installed."""

import shutil

import numpy as np
import pytest

from minimoshi.evaluation import baselines

INSTALLED = all(shutil.which(program) for program in baselines.PROGRAMS)


def test_missing_programs_are_named(monkeypatch):
    monkeypatch.setattr(baselines.shutil, "which", lambda program: None)
    with pytest.raises(ImportError, match="sudo apt-get install codec2 opus-tools.*--no-baselines"):
        baselines.check_programs()
    monkeypatch.setattr(baselines.shutil, "which", lambda program: None if program == "c2dec" else program)
    with pytest.raises(ImportError, match="install codec2,"):
        baselines.check_programs()
    monkeypatch.setattr(baselines.shutil, "which", lambda program: program)
    baselines.check_programs()


@pytest.mark.parametrize("command, wanted", [(["false"], "false failed"), (["sh", "-c", "echo no >&2; exit 3"], "no")])
def test_a_program_that_fails_is_heard(command, wanted):
    with pytest.raises(RuntimeError, match=wanted):
        baselines._run(command)


@pytest.mark.skipif(not INSTALLED, reason="needs the Debian packages codec2 and opus-tools")
@pytest.mark.parametrize("codec", [baselines.codec2, baselines.opus])
@pytest.mark.parametrize("samples", [24_000, 30_001])
def test_the_loud_part_stays_where_it_was(codec, samples):
    time = np.arange(samples) / 24_000
    wav = sum(np.sin(2 * np.pi * 150 * k * time) / k for k in range(1, 20)) * 0.1
    wav = (wav * ((time > 0.4) & (time < 0.7))).astype(np.float32)
    copy = codec(wav)
    assert copy.shape == wav.shape and copy.dtype == np.float32 and np.isfinite(copy).all()
    energy = np.convolve(copy**2, np.ones(240), "same")
    loud = np.flatnonzero(energy > 0.25 * np.quantile(energy, 0.9)) / 24_000
    assert abs(loud[0] - 0.4) < 0.03 and abs(loud[-1] - 0.7) < 0.03
