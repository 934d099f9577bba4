"""A blind listening test on the page: X is A or B, drawn anew each time; does one hear which?"""

import html
import json
import math

import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import display

from .figures import GREY, ORANGE, show
from .sound import sound_base64

RARE = 0.05  # what luck alone does less often than this counts as heard

PAGE = """<div style="max-width:820px;margin:0.3em 0.4em" data-right="0" data-done="0" data-trials="{trials}" onclick="
const act=event.target.dataset.act, of=event.target.dataset.of, told=this.querySelector('output'), d=this.dataset;
if(!act) return;
if(!d.x) d.x=Math.random()<0.5?'0':'1';
if(act==='play'){{
  if(this.voice) this.voice.pause();
  this.voice=new Audio(JSON.parse(this.querySelector('script').textContent)[of==='x'?d.x:of]);
  this.voice.play(); d.heard=d.heard||(of==='x'?'x':''); return;}}
if(d.heard!=='x'){{ told.textContent='Listen to X first.'; return;}}
if(+d.done===+d.trials){{ d.done=0; d.right=0; }}
d.right=+d.right+(of===d.x); d.done=+d.done+1; d.x=''; d.heard='';
const n=+d.done, k=+d.right; let luck=0, ways=1;
for(let i=0;i&lt;=n;i++){{ if(i>=k) luck+=ways/2**n; ways=ways*(n-i)/(i+1); }}
told.textContent=k+' of '+n+' right'+(n&lt;+d.trials?'; X has been drawn anew.'
  :'. Luck alone does as well in '+Math.max(1,Math.round(100*luck))+' of 100 tests. Again? Listen to X.');">
<b>{title}</b><br>
<button data-act="play" data-of="0">▶ A: {a}</button> <button data-act="play" data-of="1">▶ B: {b}</button>
<button data-act="play" data-of="x">▶ X</button>
<button data-act="guess" data-of="0">X is A</button> <button data-act="guess" data-of="1">X is B</button>
<output aria-live="polite" style="display:block;min-height:1.5em">{trials} rounds. “{words}”</output>
<script type="application/json">{sounds}</script></div>"""


def luck(right: int, trials: int) -> float:
    """How often somebody who only guesses has at least so many right."""
    if not 0 <= right <= trials:
        raise ValueError(f"of {trials} answers 0 to {trials} can be right, got {right}")
    return sum(math.comb(trials, k) for k in range(right, trials + 1)) / 2**trials


def needed(trials: int) -> int:
    """The fewest right answers that luck alone reaches in less than one test of twenty."""
    found = [right for right in range(trials + 1) if luck(right, trials) < RARE]
    if not found:
        raise ValueError(f"{trials} rounds can never tell hearing from luck; take at least 5")
    return found[0]


def abx(
    a: torch.Tensor | np.ndarray,
    b: torch.Tensor | np.ndarray,
    names: tuple[str, str],
    *,
    transcript: str,
    trials: int = 10,
    sample_rate: int = 24_000,
) -> None:
    """Show a blind test between two versions of a sound, `[S]` or `[1, S]`, that says the same: `transcript`.

    The page draws X, counts, and says how often luck alone would do as well. It needs no kernel. Where buttons are
    not shown, a picture of what luck does remains.
    """
    threshold = needed(trials)
    figure, axes = plt.subplots(figsize=(8, 1.9))
    right = np.arange(trials + 1)
    chances = [math.comb(trials, int(k)) / 2**trials for k in right]
    axes.bar(right, chances, color=[ORANGE if k >= threshold else GREY for k in right])
    axes.set(xlabel=f"right answers of {trials}, by luck alone", ylabel="chance", xticks=right)
    rare = f"{threshold} and more, drawn in another colour, come in {100 * luck(threshold, trials):.0f} of 100 tests"
    show(figure, f"Chances of 0 to {trials} right answers for somebody who guesses, highest in the middle; {rare}.")
    title = f"Blind test: can you tell {names[0]} from {names[1]}?"
    kinds = [sound_base64(wav, sample_rate, compact=True) for wav in (a, b)]
    page = PAGE.format(
        title=html.escape(title),
        a=html.escape(names[0]),
        b=html.escape(names[1]),
        words=html.escape(transcript),
        trials=trials,
        sounds=json.dumps([f"data:{kind};base64,{data}" for kind, data in kinds]),
    )
    text = f"(blind test) {title} {trials} rounds; {threshold} right answers are more than luck"
    display({"text/html": page, "text/plain": text}, raw=True)
