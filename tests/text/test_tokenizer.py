"""The tokenizer: text survives, PAD and EPAD never stand for text."""

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from minimoshi.text import TextTokenizer
from tests.conftest import SENTENCES
from tests.helpers import refused

# "▁" itself is how SentencePiece writes a space
any_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="▁"))


@given(text=any_text)
@example("Grüße, 世界! 👋🏽")
@example("two  spaces, a\ttab and a\nnew line ")
@example(" starts with a space")
@example("ﬁne ① ½ Ａ")  # compatibility characters stay what they are
def test_any_text_survives(tokenizer: TextTokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert all(3 < i < tokenizer.vocab_size for i in ids), "an id of PAD, EPAD or a sentence marker stands for text"


@given(text=any_text)
@example("seven 世界")
def test_a_stream_decodes_what_the_whole_decodes(tokenizer: TextTokenizer, text: str) -> None:
    ids, stream = tokenizer.encode(text), tokenizer.stream()
    pieces = [stream.push(i) for i in ids]
    assert "" not in pieces
    assert "".join(piece or "" for piece in pieces) == (" " + text if text else "")


@given(ids=st.lists(st.integers(0, 345)))
@example([4 + 0xE4, 4 + 0xB8, 330, 331])  # a character that never ends
@example([4 + 0x80, 4 + 0x80, 4 + 0x41])  # bytes that begin no character
def test_whatever_a_model_says_can_be_written(tokenizer: TextTokenizer, ids: list[int]) -> None:
    """Bytes that make no character become replacement characters (how many, is not promised); the rest stays."""
    stream = tokenizer.stream()
    written = "".join(stream.push(i) or "" for i in ids).replace("\N{REPLACEMENT CHARACTER}", "")
    whole = tokenizer.decode(ids).replace("\N{REPLACEMENT CHARACTER}", "")
    assert written.removeprefix(" ") == whole.removeprefix(" ")


def test_an_unfinished_character_is_shown_when_text_goes_on(tokenizer: TextTokenizer) -> None:
    stream = tokenizer.stream()
    euro = [tokenizer.encode("€")[i] for i in (-3, -2, -1)]
    assert [stream.push(i) for i in euro] == [None, None, "€"]
    seven = next(i for i in range(tokenizer.vocab_size) if tokenizer.piece(i) == "▁seven")
    assert [stream.push(i) for i in (euro[0], tokenizer.pad_id, seven)] == [None, None, "\ufffd seven"]


def test_special_ids_are_those_of_moshi(tokenizer: TextTokenizer) -> None:
    assert (tokenizer.epad_id, tokenizer.pad_id) == (0, 3)
    assert [tokenizer.is_silent(i) for i in (0, 1, 2, 3, 4, tokenizer.vocab_size - 1, tokenizer.vocab_size)] == [
        True,
        True,
        True,
        True,
        False,
        False,
        True,
    ]
    stream = tokenizer.stream()
    assert [stream.push(i) for i in (0, 1, 2, 3, tokenizer.vocab_size + 7)] == [None] * 5
    assert tokenizer.decode([3, 3, 0, *tokenizer.encode("hello"), 3, 2]) == "hello"


def test_digits_stand_apart() -> None:
    """However often a number is seen, it is never learnt as a piece."""
    tokenizer = TextTokenizer.train(["room 1042", "call 1042", "1042 1042 or 42"] * 20, vocab_size=400)
    pieces = [tokenizer.piece(i).strip("▁") for i in tokenizer.encode("call 1042")]
    assert [piece for piece in pieces if piece.isdigit()] == ["1", "0", "4", "2"]


def test_common_words_are_short_and_training_repeats(tokenizer: TextTokenizer) -> None:
    assert len(tokenizer.encode("seven")) == 1
    assert TextTokenizer.train(SENTENCES, vocab_size=400).proto == tokenizer.proto


def test_saved_and_loaded(tokenizer: TextTokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path)
    tokenizer.save(tmp_path / "other.model")
    for path in (tmp_path, tmp_path / "tokenizer.model", tmp_path / "other.model"):
        loaded = TextTokenizer.from_pretrained(path)
        assert loaded.encode(SENTENCES[2]) == tokenizer.encode(SENTENCES[2])
        assert loaded.vocab_size == tokenizer.vocab_size


def test_bad_input_is_refused(tokenizer: TextTokenizer, tmp_path: Path) -> None:
    (tmp_path / "bad.model").write_bytes(b"not a model")
    with refused(None, "bad.model", "not a SentencePiece model"):
        TextTokenizer(tmp_path / "bad.model")
    with refused(None, "missing.model", error=FileNotFoundError):
        TextTokenizer(tmp_path / "missing.model")
    with refused(None, "no-such-name", error=FileNotFoundError):
        TextTokenizer.from_pretrained("no-such-name")
    with refused(None, "either"):
        TextTokenizer()
    with refused(None, "no text"):
        TextTokenizer.train(["", "  "])
    with refused(None, "at least 300, got 100"):
        TextTokenizer.train(SENTENCES, vocab_size=100)
    with refused(None, f"0 to {tokenizer.vocab_size - 1}, got -1"):
        tokenizer.piece(-1)


def test_too_little_text_gives_fewer_pieces_not_an_error() -> None:
    small = TextTokenizer.train(["ab ab"], vocab_size=1000)
    assert small.vocab_size < 1000
    assert small.decode(small.encode("ab zebra")) == "ab zebra"


def test_no_import_of_a_shipped_name_by_accident(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tokenizer: TextTokenizer
) -> None:
    """A shipped name wins over a folder of the same name in the working directory."""
    shipped = tmp_path / "pretrained"
    (shipped / "toy" / "tokenizer").mkdir(parents=True)
    tokenizer.save(shipped / "toy" / "tokenizer")
    (tmp_path / "toy").mkdir()
    monkeypatch.setattr("minimoshi.text.tokenizer.SHIPPED", shipped)
    monkeypatch.chdir(tmp_path)
    assert TextTokenizer.from_pretrained("toy").proto == tokenizer.proto


def test_a_wrong_name_lists_what_is_shipped() -> None:
    with pytest.raises(FileNotFoundError, match="shipped: tiny"):
        TextTokenizer.from_pretrained("tinny")
