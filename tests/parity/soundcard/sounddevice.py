"""A sound card made of files, under the name of the library that the official client opens its sound card with.

MICROPHONE: a sound file that is heard from the start, in real time, and silence after it. SPEAKER: where the WAV of
what is played goes, written again with every second played.
"""

import os
import threading
import time

import numpy as np
import soundfile


class _Stream(threading.Thread):
    """Calls `callback(data [frames, channels], frames, time, status)` once a block, at the pace of a sound card."""

    def __init__(self, samplerate, channels, blocksize, callback):
        super().__init__(daemon=True)
        self.rate, self.shape, self.callback = int(samplerate), (blocksize, channels), callback
        self.open = True

    def __enter__(self):
        self.start()

    def __exit__(self, *_):
        self.open = False

    def run(self):
        due = time.monotonic()
        while self.open:
            self.block()
            due += self.shape[0] / self.rate
            time.sleep(max(0.0, due - time.monotonic()))


class InputStream(_Stream):
    def run(self):
        self.sound, rate = soundfile.read(os.environ["MICROPHONE"], dtype="float32")
        assert rate == self.rate
        super().run()

    def block(self):
        data = np.zeros(self.shape, np.float32)
        now, self.sound = np.split(self.sound, [self.shape[0]])
        data[: len(now), 0] = now
        self.callback(data, self.shape[0], None, None)


class OutputStream(_Stream):
    def run(self):
        self.played = []
        super().run()

    def block(self):
        data = np.empty(self.shape, np.float32)
        self.callback(data, self.shape[0], None, None)
        self.played.append(data)
        if len(self.played) % (self.rate // self.shape[0]) == 0:
            soundfile.write(os.environ["SPEAKER"], np.concatenate(self.played), self.rate)
