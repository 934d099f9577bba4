"""Official checkpoints in and out, Hugging Face layouts in and out, and comparisons with the official package.

Every layout is one table of names (`…_rows`), which `rosetta` shows.
"""

from .compare import Comparison, Difference, compare
from .huggingface import (
    hf_mimi_rows,
    hf_moshi_rows,
    hf_moshi_shapes,
    load_hf_mimi,
    load_hf_moshi,
    save_hf_mimi,
    save_hf_moshi,
)
from .huggingface_config import config_from_hf_mimi, config_from_hf_moshi, config_to_hf_mimi, config_to_hf_moshi
from .kyutai_config import MOSHI_7B, config_from_kyutai, config_to_kyutai
from .kyutai_mimi import kyutai_mimi_rows, kyutai_mimi_shapes, load_kyutai_mimi, save_kyutai_mimi
from .kyutai_moshi import kyutai_moshi_rows, kyutai_moshi_shapes, load_kyutai_moshi, save_kyutai_moshi
from .table import Rosetta, Row, rosetta

__all__ = [
    "MOSHI_7B",
    "Comparison",
    "Difference",
    "Rosetta",
    "Row",
    "compare",
    "config_from_hf_mimi",
    "config_from_hf_moshi",
    "config_from_kyutai",
    "config_to_hf_mimi",
    "config_to_hf_moshi",
    "config_to_kyutai",
    "hf_mimi_rows",
    "hf_moshi_rows",
    "hf_moshi_shapes",
    "kyutai_mimi_rows",
    "kyutai_mimi_shapes",
    "kyutai_moshi_rows",
    "kyutai_moshi_shapes",
    "load_hf_mimi",
    "load_hf_moshi",
    "load_kyutai_mimi",
    "load_kyutai_moshi",
    "rosetta",
    "save_hf_mimi",
    "save_hf_moshi",
    "save_kyutai_mimi",
    "save_kyutai_moshi",
]
