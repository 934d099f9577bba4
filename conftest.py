"""One conftest for the tests and for the notebooks under nbval: one thread, fixed seeds, no downloads."""

import os

# Before torch and the kernels start: they inherit the environment.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"

import random  # noqa: E402
from pathlib import Path  # noqa: E402

import hypothesis  # noqa: E402
import matplotlib  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402

torch.set_num_threads(1)
matplotlib.use("Agg")

hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=25)
hypothesis.settings.load_profile("repeatable")

pytest_plugins = ["tests.notebooks.seconds"]

SANITIZE = Path(__file__).parent / "tests" / "notebooks" / "nbval_sanitize.cfg"


@pytest.fixture(autouse=True)
def fixed_seeds() -> None:
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


def pytest_configure(config: pytest.Config) -> None:
    """`pytest --nbval` alone is enough: this Python as the kernel, our sanitise file, two minutes a cell."""
    if config.option.nbval:
        config.option.nbval_current_env = True
        config.option.nbval_sanitize_with = config.option.nbval_sanitize_with or str(SANITIZE)
        config.option.nbval_cell_timeout = min(config.option.nbval_cell_timeout, 120)


def pytest_collectstart(collector: pytest.Collector) -> None:
    """Printed text is compared strictly; sounds (base64 in text/html), progress bars and widgets' ids are not."""
    if hasattr(collector, "skip_compare"):
        widget = "application/vnd.jupyter.widget-view+json"
        collector.skip_compare += ("text/html", "stderr", "image/svg+xml", widget)
