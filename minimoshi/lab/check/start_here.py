"""Checks of notebook 00, start here."""

from typing import Any

import torch

from ...config import EPAD_ID, PAD_ID
from .core import NotTried, Wrong, call, exercise, want_equal

ANSWERS = {
    1: ("b", {"a": "that is 80 s; a second has 12.5 frames", "c": "24,000 is the number of samples"}),
    2: ("c", {"a": "8 are Moshi's voice alone", "b": "9 are text and one voice: a model that cannot hear"}),
    3: (
        "a",
        {"b": "the user is only heard, never predicted", "c": "the user's words are nowhere in the grid"},
    ),
    4: (
        "b",
        {
            "a": "B, S and 1 would be a sound",
            "c": "D is a width, and codes have none: they are whole numbers",
        },
    ),
    5: ("c", {"a": "its window is shorter: ten seconds, not four minutes", "b": "it forgets after every frame"}),
    6: (
        "a",
        {
            "b": "80 ms only fill the frame; its acoustic codes come one frame later",
            "c": "nobody waits that long",
        },
    ),
}


@exercise(
    "00",
    hint="call doctor() and read its lines; those in capitals say what to do.",
)
def environment(answer: Any, generator: torch.Generator) -> str:
    """What `doctor()` gave back: 0 when all is well."""
    if callable(answer):
        raise Wrong("that is the function itself; call it, with ()")
    want_equal(answer, 0, "the doctor's answer")
    return "All that this course needs is here, and the models work on this machine."


@exercise(
    "00",
    hint="row 0 is the text; PAD (3) and EPAD (0) are not words; argmax of 0s and 1s finds the first 1.",
)
def moshi_starts(answer: Any, generator: torch.Generator) -> str:
    """`answer(grid [17, T]) -> int`: the frame of Moshi's first text token, -1 when Moshi stays silent."""
    for trial in range(12):
        grid = torch.randint(4, 400, (17, 60), generator=generator)
        first = int(torch.randint(1, 59, (1,), generator=generator))
        grid[0, :first] = PAD_ID
        grid[0, first - 1] = EPAD_ID
        got = call(answer, grid)
        if isinstance(got, (int, torch.Tensor)) and int(got) == first - 1:
            raise Wrong(f"value: frame {first - 1} holds EPAD: it announces a word, the word begins in {first}")
        want_equal(got, first, f"the frame in grid number {trial}")
    want_equal(call(answer, torch.full((17, 60), PAD_ID)), -1, "the frame of a grid in which Moshi says nothing")
    return "Moshi's first word, found in the text row, and silence recognised."


@exercise("00", hint="the answers stand between the first cell and the recap; look again, then try again.")
def self_test(answer: Any, generator: torch.Generator) -> str:
    """`{1: "a", …, 6: "c"}`, a letter for each question; "A" and "(a)" are "a"."""
    if not isinstance(answer, dict) or set(answer) != set(ANSWERS):
        raise Wrong("expected a dictionary with the questions 1 to 6")
    if all(given is Ellipsis for given in answer.values()):
        raise NotTried
    faults = []
    for question, (right, reasons) in ANSWERS.items():
        if answer[question] is Ellipsis:
            continue
        letter = str(answer[question]).strip(" ()").lower()
        if letter != right:
            faults.append(f"{question}: {reasons.get(letter, 'answer with the letter a, b or c')}")
    missing = [str(question) for question, given in answer.items() if given is Ellipsis]
    if missing:
        faults.append(f"not answered: {', '.join(missing)}")
    if faults:
        raise Wrong("; ".join(faults))
    return "Six of six. You can name the parts."
