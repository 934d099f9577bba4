"""The blind listening test: its arithmetic, its page without a kernel, and the page in a real browser."""

import re

import numpy as np
import pytest
from matplotlib import pyplot as plt

from minimoshi.lab import listening
from tests.serving.browser import CHROMIUM, OPTIONS, needs_chromium


@pytest.fixture
def page(monkeypatch) -> str:
    """What `abx` shows: the page, with the two sounds marked by their length."""
    shown = []
    monkeypatch.setattr(listening, "show", lambda figure, alt: plt.close(figure))
    monkeypatch.setattr(listening, "display", lambda bundle, raw: shown.append(bundle))
    listening.abx(np.zeros(2400), np.zeros(4800), ("loud & clear", "not"), transcript="a “word”", trials=6)
    assert shown[0]["text/plain"] == (
        "(blind test) Blind test: can you tell loud & clear from not? 6 rounds; 6 right answers are more than luck"
    )
    return shown[0]["text/html"]


def test_luck_is_the_tail_of_the_binomial():
    assert listening.luck(0, 10) == 1 and listening.luck(10, 10) == 2**-10
    assert listening.luck(9, 10) == pytest.approx(11 / 1024)
    rng = np.random.default_rng(0)
    guesses = (rng.random((20_000, 10)) < 0.5).sum(1)
    assert float((guesses >= 7).mean()) == pytest.approx(listening.luck(7, 10), abs=0.01)
    assert [listening.needed(n) for n in (5, 8, 10, 20)] == [5, 7, 9, 15]
    with pytest.raises(ValueError, match="take at least 5"):
        listening.needed(4)
    with pytest.raises(ValueError, match="0 to 10 can be right, got 11"):
        listening.luck(11, 10)


def test_the_page_needs_no_kernel_and_escapes_what_it_is_told(page):
    assert page.count("data:audio/mpeg;base64,") == 2 and "loud &amp; clear" in page and "<script type=" in page
    assert len(re.findall(r"<button ", page)) == 5 and 'aria-live="polite"' in page


@needs_chromium
def test_in_a_browser_it_counts_and_names_what_luck_does(page):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        tab = browser.new_page()
        tab.set_content(page)
        said = tab.locator("output")
        tab.click("text=X is A")
        assert said.inner_text() == "Listen to X first."
        drawn = []
        for number in range(1, 7):
            tab.click("text=▶ X")
            x = tab.evaluate("document.querySelector('div').dataset.x")
            drawn.append(x)
            tab.click("text=X is A" if x == "0" or number > 5 else "text=X is B")
            assert said.inner_text().startswith(f"{number - (number == 6 and x == '1')} of {number} right")
        right = 6 - (drawn[-1] == "1")
        assert f"in {max(1, round(100 * listening.luck(right, 6)))} of 100 tests" in said.inner_text()
        browser.close()
