"""What the notebooks show: every sound with words and picture, every figure with a caption, maps, sliders, samples."""

import base64
import io
import json
import re
from pathlib import Path

import pytest
import soundfile as sf
import torch
from matplotlib import pyplot as plt
from PIL import Image

from minimoshi import FullDuplexDialogueModel, lab
from minimoshi.lab import figures, maps, plots, sound, widgets

NAMES = ["semantic", "acoustic 1"]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[tuple[dict, dict]]:
    """(data, metadata) of everything that is put on the page."""
    page: list[tuple[dict, dict]] = []

    def display(data: dict, metadata: dict | None = None, raw: bool = False) -> None:
        assert raw
        page.append((data, metadata or {}))

    for module in (figures, sound, widgets):
        monkeypatch.setattr(module, "display", display)
    lab.style()
    return page


def figure() -> plt.Figure:
    drawn, axes = plt.subplots()
    axes.plot([0, 1], [1, 0])
    return drawn


def test_a_figure_has_alt_text_and_the_same_text_as_caption(shown: list) -> None:
    lab.show(
        figure(),
        """A line that falls
        from one to zero.""",
    )
    (picture, metadata), (caption, _) = shown
    assert metadata["image/png"]["alt"] == "A line that falls from one to zero." == caption["text/plain"]
    assert Image.open(io.BytesIO(base64.b64decode(picture["image/png"]))).size == (800, 260)
    assert not plt.get_fignums()


def test_a_figure_without_a_description_is_refused(shown: list) -> None:
    with pytest.raises(ValueError, match="too short"):
        lab.show(figure(), "plot")


@pytest.mark.parametrize(("compact", "kind"), [(False, "flac"), (True, "mpeg")])
def test_a_sound_comes_with_picture_player_and_words(shown: list, compact: bool, kind: str) -> None:
    wav = 0.1 * torch.sin(torch.arange(24_000) / 10)
    lab.play(wav[None], title="A tone", transcript='[a "tone"]', compact=compact)
    picture, caption, player = (data for data, _ in shown)
    assert {"image/png", "image/jpeg"} & set(picture) and "1.00 s" in caption["text/plain"]
    assert player["text/plain"] == '▶ A tone: “[a "tone"]” (1.00 s, 24000 Hz)'
    assert "[a &quot;tone&quot;]" in player["text/html"]
    data = re.search(rf"data:audio/{kind};base64,([^\"]+)", player["text/html"]).group(1)
    heard, rate = sf.read(io.BytesIO(base64.b64decode(data)), dtype="float32")
    assert rate == 24_000 and abs(len(heard) - 24_000) < 3_000
    if not compact:
        assert abs(heard - wav.numpy()).max() <= 2**-15


def test_stereo_is_left_moshi_right_user(shown: list) -> None:
    wav = torch.stack([torch.full((2_400,), 0.5), torch.zeros(2_400)])
    lab.play(wav, title="Two voices", transcript="[left only]", picture=False)
    data = shown[0][0]["text/html"].split("base64,")[1].split('"')[0]
    heard, _ = sf.read(io.BytesIO(base64.b64decode(data)))
    assert heard[:, 0].min() > 0.49 and abs(heard[:, 1]).max() == 0


@pytest.mark.parametrize(
    ("wav", "options", "said"),
    [
        (torch.zeros(100), {"transcript": " "}, "transcript"),
        (torch.zeros(100), {"transcript": "[silence]", "sample_rate": 2_000}, "3000 to 96000"),
        (torch.zeros(24_000 * 30), {"transcript": "[silence]"}, "too long"),
        (torch.zeros(3, 100), {"transcript": "[silence]"}, r"shape \(3, 100\)"),
        (torch.full((100,), torch.nan), {"transcript": "[silence]"}, "NaN"),
        (torch.zeros(0), {"transcript": "[silence]"}, "empty"),
    ],
)
def test_what_cannot_be_played_says_why(shown: list, wav: torch.Tensor, options: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        lab.play(wav, title="A sound", **options)
    assert not shown


def test_samples_know_their_words() -> None:
    clip = lab.sample("allison_monkeys")
    assert clip.wav.shape == (1, 64_344) and clip.sample_rate == 24_000 and round(clip.seconds, 2) == 2.68
    assert [word for word, _ in clip.words][-1] == "monkeys"
    with pytest.raises(FileNotFoundError, match="0 clips begin with 'nobody'.*allison_monkeys"):
        lab.sample("nobody")
    with pytest.raises(FileNotFoundError, match="clips begin with 'allison'"):
        lab.sample("allison")


def test_samples_are_found_from_a_copied_course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = tmp_path / "data_samples"
    mine.mkdir()
    (mine / "transcripts.json").write_text("[]")
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    assert sound.samples_folder() == mine


def test_the_sample_dialogue_has_two_voices() -> None:
    wav, moshi, user = lab.sample_dialogue()
    assert wav.shape[0] == 2 and wav.shape[1] % 1920 == 0
    assert user[0][0] == "he" and moshi[0][0] == "i'm" and moshi[0][1][0] > user[7][1][1] - 1e-6


def test_the_map_lights_the_room(shown: list) -> None:
    lab.course_map("03")
    assert shown[1][0]["text/plain"].endswith("You are in 03, streaming.")
    with pytest.raises(ValueError, match="00 to 13"):
        lab.course_map("3")


def test_the_map_says_which_rooms_are_not_written(shown: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data_samples").mkdir()
    (tmp_path / "data_samples" / "transcripts.json").write_text("[]")
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path)
    assert maps.written() == {room[0] for room in maps.COURSE}  # nothing is known, so nothing is pale
    lab.course_map("00")
    (tmp_path / "notebooks" / "03_streaming.ipynb").touch()
    assert maps.written() == {"03"}
    lab.course_map("00")
    assert ["paler" in data["text/plain"] for data, _ in shown if data["text/plain"].startswith("Map")] == [False, True]


def test_the_overview_is_drawn_from_the_objects() -> None:
    model = FullDuplexDialogueModel()
    written = " ".join(text.get_text() for text in lab.overview(model, "tiny").axes[0].texts)
    plt.close("all")
    depth = sum(p.numel() for p in model.generator.audio_model.parameters())
    assert f"{depth / 1e6:.3g} million" in written
    assert f"width {model.config.helium.dim}, {model.config.helium.layers} layers" in written
    assert f"8 of {model.codec.config.codebook_size}" in written


def test_sizes_are_written_for_people() -> None:
    assert maps.millions(torch.nn.Linear(10, 10, bias=False)) == "100"
    assert (
        maps.millions(torch.nn.Linear(2000, 1000, bias=False), torch.nn.Linear(500, 1000, bias=False)) == "2.5 million"
    )


def test_a_slider_holds_every_picture_and_shows_the_default(shown: list) -> None:
    calls = []

    def draw(value: int) -> plt.Figure:
        calls.append(value)
        return figure()

    lab.explore(draw, "window", [5, 10, 20], default=10, label="{} ms", alt="A line that falls, window of 10 ms.")
    (data, metadata), (caption, _) = shown
    assert calls == [5, 10, 20]
    kept = json.loads(re.search(r'application/json">(.*?)</script>', data["text/html"], re.S).group(1))
    assert [label for label, _ in kept] == ["5 ms", "10 ms", "20 ms"]
    assert [picture is None for _, picture in kept] == [False, True, False]  # the default is the page's own picture
    assert data["text/plain"].endswith("shown: 10 ms") and 'max="2" value="1"' in data["text/html"]
    assert metadata[next(k for k in data if k.startswith("image/"))]["alt"] == caption["text/plain"]
    with pytest.raises(ValueError, match="must be one of"):
        lab.explore(draw, "window", [5, 10], default=7, alt="A line that falls.")


def test_token_grids_refuse_wrong_names_and_leave_padding_white() -> None:
    with pytest.raises(ValueError, match="2 names for a grid of 3 rows"):
        plots.token_grid(torch.zeros(3, 4, dtype=torch.int64), NAMES)
    shades = plots.token_shades(torch.tensor([[3, 5], [3, -1]]).numpy(), pad_id=3)
    assert torch.isnan(torch.tensor(shades)).tolist() == [[True, False], [False, True]]


def test_words_join_to_phrases_at_pauses() -> None:
    words = [("good", (0.0, 0.3)), ("morning", (0.3, 0.8)), ("how", (2.0, 2.2))]
    assert plots.phrases(words) == [(0.0, "good morning"), (2.0, "how")]


def test_a_knob_draws_what_it_is_turned_to(shown: list[tuple[dict, dict]]) -> None:
    asked: list[int] = []

    def draw(value: int) -> plt.Figure:
        asked.append(value)
        return figure()

    box = lab.knob(
        draw, "window", 2, 200, default=12, unit="ms", alt="A single line that falls from one to nought, left to right."
    )
    slider, picture = box.children
    assert asked == [12] and any("A single line that falls" in json.dumps(data) for data, _ in shown)
    assert shown[-1][0]["text/plain"] == "(slider) window (ms): 2 to 200; run this cell and turn it"
    slider.value = 40
    assert asked == [12, 40] and any(kind.startswith("image/") for kind in picture.outputs[0]["data"])
    with pytest.raises(ValueError, match="between 2 and 200"):
        lab.knob(draw, "window", 2, 200, default=1, alt="nothing")
