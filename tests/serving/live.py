"""`minimoshi serve` as a user starts it: a process of its own, with the shipped Moshi."""

import contextlib
import re
import socket
import subprocess
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def serving() -> Iterator[str]:
    """The link that it prints."""
    with contextlib.closing(socket.socket()) as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "minimoshi", "serve", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline()
            yield re.search(r"http://\S+", line)[0]
        finally:
            process.terminate()
