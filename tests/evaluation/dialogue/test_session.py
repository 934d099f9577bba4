"""A long session: who answers in time is right, who falls asleep is found out, tenth by tenth."""

from types import SimpleNamespace

import pytest

from minimoshi.cli import main
from minimoshi.evaluation.dialogue import session
from minimoshi.evaluation.dialogue.session import TENTHS, ask, hold


class _Model:
    """Says the answers in its own text at the first frame of their time, until it falls asleep after so many."""

    codec = SimpleNamespace(frame_size=1920)

    def __init__(self, asked, answers: int):
        self.words = {int(one.start * 12.5) + 1: one.expected for one in asked[:answers]}

    def session(self, seed):
        frames = iter(range(10**6))
        return SimpleNamespace(step=lambda pcm: SimpleNamespace(text=self._text(next(frames))))

    def _text(self, frame: int) -> str | None:
        return f" {self.words[frame]}" if frame in self.words else None


def test_answers_are_counted_by_tenths():
    sound, asked = ask(2.0)
    assert len(sound) % 1920 == 0 and len(sound) / 24_000 <= 120 and len(asked) >= 20
    assert all(one.end <= other.start for one, other in zip(asked, asked[1:], strict=False))
    awake = hold(_Model(asked, len(asked)), sound, asked, progress=False)
    assert all(awake.right) and awake.said[0] == "three plus four is seven"
    asleep = hold(_Model(asked, 10), sound, asked, progress=False)
    counted = asleep.tenths()
    assert sum(asleep.right) == 10 and counted[0][0] == counted[0][1] and counted[-1][0] == 0
    assert len(counted) == TENTHS and sum(of for _, of, _ in counted) == len(asked)


def test_the_command_prints_and_plots(tmp_path, monkeypatch, capsys):
    _, asked = ask(1.0)
    monkeypatch.setattr("minimoshi.evaluation.dialogue.run.load_model", lambda name: _Model(asked, 3))
    picture = tmp_path / "session.png"
    assert main(["evaluate", "session", "tiny", "--minutes", "1", "--wrong", "1", "--plot", str(picture)]) == 0
    printed = capsys.readouterr().out
    assert f"3 of {len(asked)} right" in printed and printed.count("not “") == 1 and picture.stat().st_size > 1000
    assert main(["evaluate", "session", "tiny", "--minutes", "1", "--plot", str(picture)]) != 0
    assert "--force" in capsys.readouterr().err


def test_too_short_a_session_is_refused():
    with pytest.raises(ValueError, match="give 1 or more"):
        ask(0.2)
    assert session.PAUSE > session.EARLY
