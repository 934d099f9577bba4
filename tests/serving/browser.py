"""What the tests in a real browser share."""

import shutil

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
OPTIONS = ["--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: apt-get install chromium")


def saved(page, button: str) -> bytes:
    """The file that a click on a button downloads."""
    with page.expect_download() as download:
        page.click(button)
    return download.value.path().read_bytes()
