"""The checks of the museum of bugs: mended functions pass under any seed, what is on show is told what it does."""

import pytest
import torch

from minimoshi.lab import check, exhibits, museum
from minimoshi.lab.check.core import NOT_TRIED, WRONG
from minimoshi.lab.check.museum import row_of, turned
from tests.exercises import ExerciseTests, of_notebooks


def speak(codec, codes, at_once=1):
    state = codec.initial_state()
    return torch.cat([codec.decode(frames, state) for frames in codes.split(at_once, dim=-1)], dim=-1)


class ForAllCallers:
    """One state for the whole server."""

    def __init__(self):
        self.state, self.__name__ = None, "for_all_callers"

    def __call__(self, codec, codes):
        self.state = self.state or codec.initial_state()
        return torch.cat([codec.decode(frame, self.state) for frame in codes.split(1, dim=-1)], dim=-1)


def moshis_codes(late, delays):
    frames = late.shape[1] - max(delays)
    return torch.stack([late[k, delays[k] : delays[k] + frames] for k in range(1, 9)])


def audio_rows(stereo, encode):
    return encode(stereo[:, None]).flatten(0, 1)


def revive(total, usage, batch, share=1.0):
    dead, even = usage < 0.1 * usage.mean(), share * usage.mean()
    places = batch[torch.randint(len(batch), (int(dead.sum()),))]
    total[dead], usage[dead] = even * places, even
    return total, usage


def epad_on_the_word(words, frames):
    row = row_of(words, frames)
    for first, _ in words:
        row[first] = 0
    return row


def conversation_grid(stereo, text, encode):
    return torch.cat([text[None], audio_rows(stereo, encode)])


def newest(z, lengths):
    return z[torch.arange(len(z)), lengths - 1]


SOLUTIONS = {
    "may_look": exhibits.causal_window,
    "speak": speak,
    "moshis_codes": moshis_codes,
    "audio_rows": audio_rows,
    "revive": revive,
    "word_row": row_of,
    "conversation_grid": conversation_grid,
    "audio_loss": exhibits.weighted_loss,
    "turn_pairs": turned,
    "newest": newest,
}

# an answer that is wrong, and what the student should read; of each room the exhibit first
MISTAKES = [
    ("may_look", museum.may_look, "has not been yet"),
    ("may_look", lambda t, c: torch.ones(t, t).tril().bool(), "too long ago"),
    ("may_look", lambda t, c: exhibits.causal_window(t, c) & ~torch.eye(t).bool(), "should see step 0"),
    ("may_look", lambda t, c: exhibits.causal_window(t, c).int(), "True and False"),
    ("speak", museum.speak, "begins from silence"),
    ("speak", lambda codec, codes: codec.decode(codes), "several frames at once"),
    ("speak", lambda *a: speak(*a, at_once=2), "several frames at once"),
    ("speak", lambda *a: 2 * speak(*a), "the sound at"),
    ("speak", ForAllCallers(), "end of the first"),
    ("moshis_codes", museum.moshis_codes, "acoustic row 1 does not hold its frames in their places: it was moved back"),
    ("moshis_codes", lambda late, delays: late[1:9, : late.shape[1] - max(delays)], "acoustic row 1"),
    ("moshis_codes", lambda late, delays: late[1:9], "[8, T]"),
    ("audio_rows", museum.audio_rows, "nobody knows who said what"),
    ("audio_rows", lambda s, e: audio_rows(s.flip(0), e), "the order is Moshi, user"),
    ("audio_rows", lambda s, e: e(s[None]), "expected mono"),
    ("revive", museum.revive, "away from the nearest point"),
    ("revive", lambda *a: a[:2], "away from the nearest point"),
    ("revive", lambda *a: revive(*a, share=0.05), "dead again"),
    ("revive", lambda t, u, b: (b[: len(t)], torch.ones(len(u))), "of the living"),
    ("revive", lambda t, u, b: t, "two things"),
    ("word_row", museum.word_row, "and none does"),
    ("word_row", epad_on_the_word, "a token of a word was overwritten"),
    ("word_row", lambda w, t: row_of(w, t).masked_fill(row_of(w, t) == 0, 3), "nothing says so"),
    ("conversation_grid", museum.conversation_grid, "the right channel, the user"),
    ("conversation_grid", lambda s, t, e: conversation_grid(s, t, e).roll(1, 0), "row 0 should be the text"),
    ("audio_loss", museum.audio_loss, "missed the semantic row"),
    ("audio_loss", lambda x, w: exhibits.weighted_loss(x, w) * (w + 7), "that is the sum"),
    ("audio_loss", lambda x, w: exhibits.weighted_loss(x, w).item(), "gradient"),
    ("turn_pairs", museum.turn_pairs, "with channel i + D/2"),
    ("turn_pairs", lambda x, a: turned(x, -a), "the wrong way"),
    ("turn_pairs", lambda x, a: 2 * turned(x, a), "other lengths"),
    ("newest", museum.newest, "which is padding"),
    ("newest", lambda z, n: z[torch.arange(len(z)), n - 2], "you took column"),
    ("newest", lambda z, n: z[torch.arange(len(z)), n], "which is padding"),
]


class TestExercises(ExerciseTests):
    notebooks, solutions, mistakes = ("museum",), SOLUTIONS, MISTAKES


def test_every_exhibit_is_wrong_and_every_room_has_one() -> None:
    assert len(SOLUTIONS) == 10 and set(SOLUTIONS) == of_notebooks("museum")
    for name in SOLUTIONS:
        assert check.EXERCISES[name].verdict(getattr(museum, name)).state == WRONG, name


@pytest.mark.parametrize("name", SOLUTIONS)
def test_a_stub_is_not_tried(name: str) -> None:
    assert check.EXERCISES[name].verdict(lambda *given: ...).state == NOT_TRIED
