"""What the notebooks need to show and to check: players, plots, sliders, maps, exercise checks.

A notebook begins with `from minimoshi import lab` and `lab.style()`. Nothing here is needed to run Moshi.
"""

from . import check, plots
from .figures import show, style
from .maps import course_map, overview
from .sound import Clip, play, questions, sample, sample_dialogue
from .widgets import explore, knob

__all__ = [
    "Clip",
    "check",
    "course_map",
    "explore",
    "knob",
    "overview",
    "play",
    "plots",
    "questions",
    "sample",
    "sample_dialogue",
    "show",
    "style",
]
