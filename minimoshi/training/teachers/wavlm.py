"""The paper's teacher: WavLM (Chen et al. 2022), read from a folder of one's own; nothing is downloaded."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...checkpoint import read_json
from .interface import check_sound, to_16_khz


class WavLMTeacher(nn.Module):
    """A `Teacher`: the last layer of a WavLM at 50 Hz, averaged over windows of 8 with a step of 4 (paper §3.3.2).

    folder: a `transformers` checkpoint (config.json and model.safetensors), for example a copy of
    microsoft/wavlm-large, whose features are 1024 wide. The windows reach two columns, 40 ms, into the frames before
    and after. Raises FileNotFoundError without a checkpoint, ImportError without the package, ValueError for a model of
    another kind.
    """

    causal = False
    POOL, STEP = 8, 4

    def __init__(self, folder: str | os.PathLike):
        super().__init__()
        try:
            from transformers import AutoConfig, WavLMModel
        except ImportError as error:
            raise ImportError("the WavLM teacher needs the package 'transformers': pip install transformers") from error
        folder = Path(folder)
        if not (folder / "config.json").exists():
            raise FileNotFoundError(f"{folder} holds no config.json; expected a transformers checkpoint of a WavLM")
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        if config.model_type != "wavlm":
            raise ValueError(f"{folder} holds a model of type {config.model_type!r}, expected 'wavlm'")
        self.model = WavLMModel.from_pretrained(folder, local_files_only=True, use_safetensors=True)
        self.model.eval().requires_grad_(False)
        self.dim = config.hidden_size
        # wavlm-large was trained on sounds of mean 0 and variance 1, wavlm-base was not
        preparation = folder / "preprocessor_config.json"
        self.normalise = preparation.exists() and bool(read_json(preparation).get("do_normalize"))

    def train(self, mode: bool = True) -> WavLMTeacher:
        """A teacher stays as it is: no dropout, no masks."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, wav: Tensor) -> Tensor:
        frames = check_sound(wav)
        sound = to_16_khz(wav)[:, 0]
        if self.normalise:
            sound = (sound - sound.mean(1, keepdim=True)) / (sound.var(1, keepdim=True, correction=0) + 1e-7).sqrt()
        # WavLM's own convolutions look at 400 samples and move on by 320: with 40 more on each side, 4 columns a frame
        columns = self.model(F.pad(sound, (40, 40))).last_hidden_state.transpose(1, 2)  # [B, D, 4F]
        if columns.shape[-1] != self.STEP * frames:
            raise ValueError(f"this WavLM gives {columns.shape[-1]} columns for {frames} frames, expected 4 for each")
        edge = (self.POOL - self.STEP) // 2
        pooled = F.avg_pool1d(F.pad(columns, (edge, edge), mode="replicate"), self.POOL, self.STEP)
        return pooled.transpose(1, 2)
