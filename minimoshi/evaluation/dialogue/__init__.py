"""How a full-duplex dialogue model behaves, judged from its sound while it runs freely.

* `scripts`: what is said in every test episode; `cases`: the episodes on disk, in the stereo format with their facts.
* `run`: the model (or the script, or a cascade) answers every user; its sound and its own text.
* `activity`: who sounds when; `measures`: what an independent judge hears, one row an exchange; `summary`: the numbers.
* `cascade`: the baseline: voice activity, recogniser, rules, synthetic voice, one after the other.
* `report`, `bars`, `card`, `figures`: the report card that `minimoshi evaluate dialogue` writes.
"""
