"""Token shards: what goes in comes out, a kill costs one dialogue at most, and tokens of two codecs never mix."""

import json

import numpy as np
import pytest
import soundfile
import torch

from minimoshi.cli import main
from minimoshi.config import EPAD_ID, PAD_ID
from minimoshi.data import shards as module
from minimoshi.data.shards import Fingerprint, Shards, ShardWriter, make_grid, tokenize
from minimoshi.data.stereo import StereoDialogue, load_dialogue, save_dialogue, write_manifest
from minimoshi.mimi import MimiAudioCodec
from minimoshi.text import TextTokenizer
from tests.dialogue_toys import tones, toy_dialogue
from tests.helpers import SPEECH_MIMI, small_codec

MADE_BY = Fingerprint("codec", "tokenizer")


def grids(count=7, streams=17, seed=0):
    random = torch.Generator().manual_seed(seed)
    return [torch.randint(-1, 65535, (streams, 5 + 3 * i), generator=random) for i in range(count)]


def write(folder, some, **options):
    writer = ShardWriter(folder, MADE_BY, **options)
    for i, grid in enumerate(some[len(writer) :], start=len(writer)):
        writer.append(grid, {"number": i})
    return writer


def assert_holds(folder, some):
    shards = Shards(folder)
    assert len(shards) == len(some) and shards.frames == sum(grid.shape[1] for grid in some)
    assert shards.lengths.tolist() == [grid.shape[1] for grid in some]
    for i, grid in enumerate(some):
        got, facts = shards[i]
        assert got.dtype == torch.int64 and torch.equal(got, grid) and facts == {"number": i}


@pytest.fixture
def codec():
    torch.manual_seed(0)
    return small_codec(SPEECH_MIMI)


@pytest.fixture
def dataset(tmp_path):
    for i, seconds in enumerate((1.5, 2.0, 1.6)):
        save_dialogue(tmp_path / "set", f"d{i}", toy_dialogue(seconds, 200 + 50 * i, number=i))
    write_manifest(tmp_path / "set")
    return tmp_path / "set"


@pytest.mark.parametrize("shard_frames", [1, 40, 10_000])
def test_grids_come_back_as_they_were(tmp_path, shard_frames):
    some = grids()
    write(tmp_path, some, shard_frames=shard_frames)
    assert_holds(tmp_path, some)
    sizes = [path.stat().st_size // 34 for path in tmp_path.glob("*.u16")]
    assert len(sizes) == {1: 7, 40: 3, 10_000: 1}[shard_frames]
    with pytest.raises(IndexError):
        Shards(tmp_path)[7]


def test_the_ends_of_the_range_survive(tmp_path):
    grid = torch.tensor([[-1, 0, 65534]]).repeat(3, 1)
    ShardWriter(tmp_path, MADE_BY, streams=3).append(grid)
    assert torch.equal(Shards(tmp_path)[0][0], grid) and Shards(tmp_path)[0][1] == {}


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: add(folder / "00001.u16", b"\x01" * 77),  # killed while the tokens were written
        lambda folder: add(folder / "index.ndjson", b'{"shard": 1, "fi'),  # ... or their line
        lambda folder: (add(folder / "00002.u16", b"\x01" * 340), add(folder / "index.ndjson", b"{")),
        lambda folder: None,  # between two dialogues
    ],
)
def test_a_kill_costs_what_was_being_written_and_nothing_else(tmp_path, damage):
    some = grids()
    write(tmp_path, some[:4], shard_frames=30)
    damage(tmp_path)
    assert_holds(tmp_path, some[:4])  # a reader never sees what is not complete
    assert len(write(tmp_path, some, shard_frames=30)) == 7
    assert_holds(tmp_path, some)
    write(tmp_path / "whole", some, shard_frames=30)
    for path in (tmp_path / "whole").iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()


def add(path, data):
    with open(path, "ab") as file:
        file.write(data)


def test_lost_tokens_are_noticed(tmp_path):
    write(tmp_path, grids())
    shard = tmp_path / "00000.u16"
    shard.write_bytes(shard.read_bytes()[:-1])
    for opened in (lambda: Shards(tmp_path), lambda: ShardWriter(tmp_path, MADE_BY)):
        with pytest.raises(ValueError, match="cut off"):
            opened()
    shard.unlink()
    with pytest.raises(ValueError, match="00000.u16 has 0 bytes"):
        Shards(tmp_path)


def test_tokens_of_others_are_refused(tmp_path):
    write(tmp_path, grids())
    for part, other in (("codec", Fingerprint("x", "tokenizer")), ("tokenizer", Fingerprint("codec", "x"))):
        for opened in (lambda other=other: ShardWriter(tmp_path, other), lambda other=other: Shards(tmp_path, other)):
            with pytest.raises(ValueError, match=f"another {part}"):
                opened()
    with pytest.raises(ValueError, match="grids of 17 streams, expected 9"):
        ShardWriter(tmp_path, MADE_BY, streams=9)
    assert len(Shards(tmp_path, MADE_BY)) == len(ShardWriter(tmp_path, MADE_BY)) == 7
    with pytest.raises(FileNotFoundError, match="data tokenize"):
        Shards(tmp_path / "nothing")


@pytest.mark.parametrize(
    "grid",
    [
        torch.zeros(16, 5, dtype=torch.int64),
        torch.zeros(17, 0, dtype=torch.int64),
        torch.zeros(1, 17, 5, dtype=torch.int64),
        torch.zeros(17, 5),
        torch.full((17, 5), -2),
        torch.full((17, 5), 65535),
    ],
)
def test_what_is_no_grid_is_refused_and_leaves_no_trace(tmp_path, grid):
    writer = write(tmp_path, grids(2))
    with pytest.raises(ValueError, match="expected an int grid|tokens must lie"):
        writer.append(grid)
    with pytest.raises(TypeError):
        writer.append(grids(1)[0], {"facts": {1, 2}})  # a set is no JSON
    assert_holds(tmp_path, grids(2))


def test_crops_are_pieces_of_dialogues_drawn_by_length(tmp_path):
    some = [torch.arange(length).repeat(17, 1) + 1000 * i for i, length in enumerate((10, 100, 30))]
    write(tmp_path, some)
    shards, rng = Shards(tmp_path), np.random.default_rng(0)
    crops = [shards.crop(rng, 20) for _ in range(700)]
    assert {(crop.shape, crop.dtype) for crop in crops} == {((17, 20), torch.int64)}
    drawn = np.bincount([int(crop[0, 0]) // 1000 for crop in crops]) / 700
    assert np.abs(drawn - np.array([10, 100, 30]) / 140).max() < 0.06
    for crop in crops:
        start, source = int(crop[0, 0]) % 1000, some[int(crop[0, 0]) // 1000]
        piece = source[:, start : start + 20]
        assert torch.equal(crop[:, : piece.shape[1]], piece) and bool((crop[:, piece.shape[1] :] == -1).all())
        assert piece.shape[1] == min(20, source.shape[1])
    starts = {int(crop[0, 0]) for crop in crops}
    assert {1000, 1080, 2000, 2010} <= starts  # both ends of a dialogue are reached
    again = np.random.default_rng(0)
    assert all(torch.equal(shards.crop(again, 20), crop) for crop in crops[:20])
    with pytest.raises(ValueError, match="cannot draw 0 frames"):
        shards.crop(rng, 0)


def test_a_folder_without_dialogues_has_no_crops(tmp_path):
    ShardWriter(tmp_path, MADE_BY)
    with pytest.raises(ValueError, match="0 dialogues"):
        Shards(tmp_path).crop(np.random.default_rng(0), 5)


def test_a_grid_has_words_of_moshi_and_codes_of_both(codec, tokenizer):
    dialogue = toy_dialogue()
    grid = make_grid(dialogue, codec, tokenizer)
    assert grid.shape == (9, 19) and grid.dtype == torch.int64
    for channel, rows in ((0, slice(1, 5)), (1, slice(5, 9))):
        alone = codec.encode(torch.from_numpy(dialogue.stereo[channel])[None, None])
        assert (grid[rows] == alone[0]).float().mean() > 0.95  # a batch may round otherwise: a rare code differs
    good, text = tokenizer.encode("good"), grid[0].tolist()
    assert text[:9] == [PAD_ID] * 9 and text[9] == EPAD_ID and text[10] == good[0]  # 0.8 s is frame 10
    without = make_grid(StereoDialogue(dialogue.stereo, None), codec, tokenizer)
    assert bool((without[0] == -1).all()) and torch.equal(without[1:], grid[1:])
    silent = make_grid(StereoDialogue(dialogue.stereo, []), codec, tokenizer)
    assert bool((silent[0] == PAD_ID).all())


def test_a_long_dialogue_gives_the_same_tokens_piece_by_piece(codec, tokenizer, monkeypatch):
    dialogue = toy_dialogue()
    whole = make_grid(dialogue, codec, tokenizer)
    monkeypatch.setattr(module, "_PIECE", 4)
    assert torch.equal(make_grid(dialogue, codec, tokenizer), whole)


def test_tokenizing_goes_on_where_it_was_stopped(tmp_path, dataset, codec, tokenizer, monkeypatch):
    whole = tokenize(dataset, tmp_path / "whole", codec, tokenizer, progress=False)
    assert [facts["number"] for _, facts in (whole[i] for i in range(3))] == [0, 1, 2]
    assert whole[1][1] == {"number": 1, "path": "d1.wav", "seconds": 2.0}

    (dataset / "d2.wav").rename(dataset / "hidden")
    with pytest.raises(FileNotFoundError, match="d2.wav"):
        tokenize(dataset, tmp_path / "parts", codec, tokenizer, progress=False)
    (dataset / "hidden").rename(dataset / "d2.wav")
    made = []
    monkeypatch.setattr(module, "load_dialogue", lambda path, *_: made.append(path.name) or load_dialogue(path))
    tokenize(dataset, tmp_path / "parts", codec, tokenizer, progress=False)
    assert made == ["d2.wav"]
    for path in (tmp_path / "whole").iterdir():
        assert (tmp_path / "parts" / path.name).read_bytes() == path.read_bytes()


def test_another_codec_or_tokenizer_is_refused(tmp_path, dataset, codec, tokenizer):
    tokenize(dataset, tmp_path / "out", codec, tokenizer, progress=False)
    other = small_codec(SPEECH_MIMI)
    with pytest.raises(ValueError, match="another codec"):
        tokenize(dataset, tmp_path / "out", other, tokenizer, progress=False)
    with pytest.raises(ValueError, match="another tokenizer"):
        tokenize(dataset, tmp_path / "out", codec, TextTokenizer.from_pretrained("tiny"), progress=False)


def test_the_fingerprint_is_of_what_makes_tokens(codec, tokenizer, tmp_path):
    made_by = Fingerprint.of(codec, tokenizer)
    codec.save_pretrained(tmp_path)
    assert Fingerprint.of(MimiAudioCodec.from_pretrained(tmp_path), tokenizer) == made_by
    with torch.no_grad():
        next(codec.decoder.parameters()).add_(1)
    assert Fingerprint.of(codec, tokenizer) == made_by
    with torch.no_grad():
        codec.quantizer.acoustic.embedding_sum.mul_(1.01)
    assert Fingerprint.of(codec, tokenizer) != made_by
    assert Fingerprint.of(small_codec(SPEECH_MIMI).use_quantizers(3), tokenizer).codec != made_by.codec


def test_the_command_makes_shards_with_the_shipped_codec(tmp_path, dataset, capsys):
    out = tmp_path / "tokens"
    assert main(["data", "tokenize", str(dataset), str(out)]) == 0
    printed = capsys.readouterr().out
    assert "times faster than real time; 1.53 MB an hour" in printed
    assert "3 dialogues, 64 frames of 17 streams" in printed
    made_by = Fingerprint.of(MimiAudioCodec.from_pretrained("tiny"), TextTokenizer.from_pretrained("tiny"))
    shards = Shards(out, made_by)
    assert shards.streams == 17 and int(shards[0][0][1:].max()) < 512
    assert main(["data", "tokenize", str(dataset), str(out)]) == 0  # nothing left to do
    assert "3 dialogues, 64 frames" in capsys.readouterr().out
    assert json.loads((out / "shards.json").read_text())["streams"] == 17


def test_stereo_sound_at_another_rate_needs_to_be_asked_for(tmp_path, codec, tokenizer):
    soundfile.write(tmp_path / "call.wav", tones(2.0).T, 16_000)
    manifest = write_manifest(tmp_path)
    with pytest.raises(ValueError, match="--resample"):
        tokenize(manifest, tmp_path / "out", codec, tokenizer, progress=False)
    with pytest.raises(FileNotFoundError):
        tokenize(tmp_path / "nothing.jsonl", tmp_path / "none", codec, tokenizer, progress=False)
    assert not (tmp_path / "none").exists()
    shards = tokenize(manifest, tmp_path / "out", codec, tokenizer, resample=True, progress=False)
    grid, facts = shards[0]
    assert grid.shape[1] == 38 and bool((grid[0] == -1).all()) and facts == {"path": "call.wav", "seconds": 3.0}
