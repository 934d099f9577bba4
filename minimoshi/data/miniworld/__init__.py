"""The mini-world: a closed world of some 150 words in which everything claimed for Moshi can be heard and measured.

From script to tokens, one file each:

* `skills`: what is asked and what the right answer is; which combinations are kept for tests.
* `bank`: how Moshi and its users say all this: takes, spoken by many voices, stored as sound.
* `coding`: takes as codes, each in its speaker's noise; and Moshi as an echo in a user's microphone.
* `episodes`: when everybody speaks: takes placed in time, with gaps, pauses, interruptions, back-channels.
* `grids`: an episode as a token grid, put together from the codes of its takes, thousands a minute.
* `sound`: an episode as stereo sound with timed words, for test sets and for the dataset format of the field.
"""

from .episodes import Episode, EpisodeMaker, Placed, Takes
from .grids import Grid, GridMaker, moshi_alone, text_alone
from .skills import SKILLS, Exchange, Say, exchange, script, split_of, text_line, vocabulary

__all__ = [
    "SKILLS",
    "Episode",
    "EpisodeMaker",
    "Exchange",
    "Grid",
    "GridMaker",
    "Placed",
    "Say",
    "Takes",
    "exchange",
    "moshi_alone",
    "script",
    "split_of",
    "text_alone",
    "text_line",
    "vocabulary",
]
