"""What the notebooks need to show and to check: players, plots, sliders, maps, exercise checks.

A notebook begins with `from minimoshi import lab` and `lab.style()`. Nothing here is needed to run Moshi.
"""

from . import check, plots
from .figures import show, style
from .listening import abx, luck
from .maps import course_map, overview
from .sound import Clip, play, questions, sample, sample_dialogue
from .widgets import explore, knob

__all__ = [
    "Clip",
    "abx",
    "check",
    "course_map",
    "explore",
    "knob",
    "luck",
    "overview",
    "play",
    "plots",
    "questions",
    "sample",
    "sample_dialogue",
    "show",
    "style",
]
