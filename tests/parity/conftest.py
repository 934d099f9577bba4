"""Against the official packages, with random weights, on real speech. Every number measured is printed at the end."""

import os

os.environ["NO_TORCH_COMPILE"] = "1"  # before the official package is imported: it compiles on first use

from collections.abc import Callable, Iterator  # noqa: E402
from importlib.util import find_spec  # noqa: E402
from pathlib import Path  # noqa: E402

import pytest  # noqa: E402
import torch  # noqa: E402
from torch import Tensor  # noqa: E402

from minimoshi import MimiAudioCodec, interop, load_audio  # noqa: E402

SAMPLES = Path(__file__).parents[2] / "data_samples"
MISSING = [name for name in ("moshi", "rustymimi", "transformers") if find_spec(name) is None]


class Uninstalled(pytest.Module):
    def collect(self):
        pytest.skip(f"not installed: {', '.join(MISSING)} (see tests/parity/requirements.txt)", allow_module_level=True)


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    """Without the official packages one skip per file says so; in CI the imports fail instead."""
    return Uninstalled.from_parent(parent, path=module_path) if MISSING and not os.environ.get("CI") else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The table of all measured differences."""
    rows: dict[str, tuple[float, float]] = {}
    for report in (report for reports in terminalreporter.stats.values() for report in reports):
        for name, value in getattr(report, "user_properties", []):
            if name == "parity":
                what, found, bar = value
                rows[what] = max(found, rows.get(what, (0, 0))[0]), bar
    if rows:
        terminalreporter.section("parity with the official packages: largest differences")
        for what, (found, bar) in sorted(rows.items()):
            terminalreporter.write_line(f"{what:<72} {f'{found:.1e}' if found else '0':>8}   bar {bar:g}")


@pytest.fixture
def within(record_property: Callable) -> Callable[[str, float, float], None]:
    """within(what, difference, bar): the difference must not exceed the bar; both go into the final table."""

    def check(what: str, difference: float, bar: float) -> None:
        record_property("parity", (what, difference, bar))
        assert difference <= bar, f"{what}: {difference:.2e} exceeds {bar:g}"

    return check


@pytest.fixture(autouse=True)
def no_grad() -> Iterator[None]:
    with torch.no_grad():
        yield


@pytest.fixture(scope="session")
def speech() -> Tensor:
    """Two rows of real speech by four speakers, float [2, 1, 24000 · 6.5]."""
    names = [("june_online", "librivox_amiable"), ("carlo_password", "allison_leader")]
    rows = [torch.cat([load_audio(SAMPLES / f"{name}.flac") for name in row], dim=1)[:, :156_000] for row in names]
    return torch.stack(rows)


@pytest.fixture(scope="session")
def official_mimi(speech: Tensor) -> torch.nn.Module:
    from tests.parity.official import random_mimi

    return random_mimi(speech[..., :72_000])


@pytest.fixture(scope="session")
def mimi_file(official_mimi: torch.nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The official Mimi as an official file."""
    from safetensors.torch import save_file

    from tests.parity.official import fused

    path = tmp_path_factory.mktemp("official") / "mimi.safetensors"
    save_file(fused(official_mimi.state_dict()), path)
    return path


@pytest.fixture(scope="session")
def codec(mimi_file: Path) -> MimiAudioCodec:
    """Ours, loaded from it."""
    return interop.load_kyutai_mimi(mimi_file)


@pytest.fixture(scope="session")
def speech_codes(codec: MimiAudioCodec, speech: Tensor) -> Tensor:
    """The codes of that speech, int64 [2, 8, 82]."""
    with torch.no_grad():
        return codec.encode(speech)
