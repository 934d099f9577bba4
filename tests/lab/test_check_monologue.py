"""The checks of notebook 09: right answers pass under any seed, wrong ones are told why, stubs are no mistake."""

import torch

from minimoshi.config import EPAD_ID, PAD_ID
from minimoshi.lab.check.monologue import patient
from tests.exercises import ExerciseTests, assert_not_tried


def patient_row(words, frames, wait=True, late=0, spare_pieces=True):
    row, free = [PAD_ID] * frames, 0
    for tokens, start in words:
        first = max(free if wait else 0, int(start * 12.5) + late)
        row[first : first + len(tokens)] = tokens[: max(0, frames - first)]
        if 0 < first < frames and (row[first - 1] == PAD_ID or not spare_pieces):
            row[first - 1] = EPAD_ID
        free = first + len(tokens)
    return torch.tensor(row[:frames])


def without_epad(words, frames):
    row = patient(words, frames)
    return row.where(row != EPAD_ID, PAD_ID)


def delays_for(lead, acoustic, sign=1):
    lead *= sign
    return (max(0, -lead), *(a + max(0, lead) for a in acoustic))


def heard_frames(delays, length, latest=max):
    return max(0, min(length, delays[0] - latest(delays[1:])))


def ablate(grids, what, roll=1):
    cut = grids.clone()
    if what == "no text":
        cut[:, 0] = -1
    elif what == "no epad":
        cut[:, 0] = cut[:, 0].where(cut[:, 0] != EPAD_ID, PAD_ID)
    else:
        cut[:, 0] = cut[:, 0].roll(roll, 0)
    return cut


def ablate_in_place(grids, what):
    grids[:, 0] = -1
    return grids


def ablate_to_pad(grids, what):
    cut = ablate(grids, what)
    return cut.where(cut != -1, PAD_ID)


SOLUTIONS = {
    "patient_row": patient_row,
    "delays_for": delays_for,
    "heard_frames": heard_frames,
    "ablate": ablate,
}

# an answer that is wrong, and what the student should read
MISTAKES = [
    ("patient_row", lambda words, frames: patient_row(words, frames, wait=False), "is missing, a word must wait"),
    ("patient_row", lambda words, frames: patient_row(words, frames, late=1), "a word with room around it"),
    ("patient_row", lambda words, frames: patient_row(words, frames, spare_pieces=False), "is missing"),
    ("patient_row", without_epad, "look at EPAD"),
    ("patient_row", lambda words, frames: patient(words, frames).tolist(), "should be a tensor [T]"),
    ("patient_row", lambda words, frames: patient(words, frames + 1), "[T]"),
    ("delays_for", lambda *a: delays_for(*a, sign=-1), "wrong way round"),
    ("delays_for", lambda lead, acoustic: (-lead, *acoustic), "nothing can be written earlier"),
    ("delays_for", lambda lead, acoustic: delays_for(lead, acoustic)[:2], "text first"),
    ("delays_for", lambda lead, acoustic: delays_for(2 * lead, acoustic), "delays_for(2, (0, 1, 1))"),
    ("heard_frames", lambda *a: heard_frames(*a, latest=min), "complete only with its latest row"),
    ("heard_frames", lambda delays, length: delays[0], "heard_frames((5, 0, 1, 1), 4)"),
    ("heard_frames", lambda delays, length: float(heard_frames(delays, length)), "float"),
    ("ablate", ablate_in_place, "work on a clone"),
    ("ablate", lambda grids, what: ablate(grids, what, roll=-1), "goes the other way"),
    ("ablate", lambda grids, what: ablate(grids.roll(1, 0), "no epad"), "leave the sound as it is"),
    ("ablate", lambda grids, what: ablate(grids, "no epad"), "'no text' should give"),
    ("ablate", lambda grids, what: ablate_to_pad(grids, what), "Hidden is -1"),
    ("ablate", lambda grids, what: ablate(grids, what)[0], "[B, K, T]"),
]


class TestMonologueExercises(ExerciseTests):
    notebooks = ("09",)
    solutions, mistakes = SOLUTIONS, MISTAKES


def test_stubs_are_not_mistakes() -> None:
    assert_not_tried(*SOLUTIONS)


def test_nothing_said_is_lost_while_there_is_room() -> None:
    words = [([11, 12, 13], 0.1), ([21], 0.1), ([31, 32], 0.2)]
    assert [token for token in patient(words, 12).tolist() if token > PAD_ID] == [11, 12, 13, 21, 31, 32]
