"""Spectra, and the distances between two sounds that the codec is trained on."""

from __future__ import annotations

import librosa
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..config import SAMPLE_RATE


class LogMel(nn.Module):
    """float [B, S] -> log-mel energies [B, M, T], one column every `hop` samples.

    causal: column t looks at the `n_fft` samples that end with its own `hop`, so that it needs no future;
    otherwise the window is centred, as usual. floor: magnitudes far below it all count as silence, whose
    energy is log(floor).
    """

    def __init__(
        self,
        n_fft: int,
        hop: int,
        bands: int,
        low: float = 0.0,
        high: float = SAMPLE_RATE / 2,
        floor: float = 5e-3,
        causal: bool = False,
    ):
        super().__init__()
        self.n_fft, self.hop, self.floor, self.causal = n_fft, hop, floor, causal
        filters = librosa.filters.mel(
            sr=SAMPLE_RATE, n_fft=n_fft, n_mels=bands, fmin=low, fmax=high, htk=True, norm=1
        )
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        self.register_buffer("filters", torch.from_numpy(filters), persistent=False)

    def forward(self, wav: Tensor) -> Tensor:
        if self.causal:
            wav = F.pad(wav, (self.n_fft - self.hop, 0))
        spectrum = torch.stft(
            wav, self.n_fft, self.hop, window=self.window, center=not self.causal, return_complex=True
        )
        power = spectrum.real.square() + spectrum.imag.square()
        return torch.log(self.filters @ torch.sqrt(power + 1e-9) + self.floor)


class MelLoss(nn.Module):
    """How far a sound is from another: [B, S], [B, S] -> scalar, 0 for equal sounds.

    Mean absolute plus root-mean-square difference of log-mel energies, averaged over four window lengths: the
    long ones see the pitch, the short ones see when things happen.
    """

    SCALES = ((2048, 512, 80), (1024, 256, 64), (512, 128, 40), (256, 64, 20))

    def __init__(self, scales: tuple[tuple[int, int, int], ...] = SCALES, rms: bool = True):
        super().__init__()
        self.scales = nn.ModuleList(LogMel(n_fft, hop, bands) for n_fft, hop, bands in scales)
        self.rms = rms

    def forward(self, wav: Tensor, target: Tensor) -> Tensor:
        if wav.shape != target.shape:
            raise ValueError(f"cannot compare sounds of shapes {list(wav.shape)} and {list(target.shape)}")
        total = wav.new_zeros(())
        for mel in self.scales:
            with torch.no_grad():
                wanted = mel(target)
            difference = mel(wav) - wanted
            total = total + difference.abs().mean()
            if self.rms:
                total = total + (difference.square().mean(1) + 1e-6).sqrt().mean() - 1e-3
        return total / len(self.scales)


class SpectralLoss(nn.Module):
    """How far the harmonics of a sound are from another's: [B, S], [B, S] -> scalar, 0 for equal sounds.

    Mean absolute difference of magnitudes |X|^power over the linear frequencies of several window lengths. A power
    of 0.3 is close to how loud a partial seems: unlike a logarithm it lets the strong partials of a voice count for
    more than the quiet gaps between them, and unlike mel bands it tells them apart at all frequencies.
    """

    WINDOWS = (2048, 1024, 512)

    def __init__(self, windows: tuple[int, ...] = WINDOWS, power: float = 0.3):
        super().__init__()
        self.power = power
        for n_fft in windows:
            self.register_buffer(f"window_{n_fft}", torch.hann_window(n_fft), persistent=False)
        self.windows = windows

    def _magnitudes(self, wav: Tensor, n_fft: int) -> Tensor:
        window = getattr(self, f"window_{n_fft}")
        spectrum = torch.stft(wav, n_fft, n_fft // 4, window=window, return_complex=True)
        power = (spectrum.real.square() + spectrum.imag.square()) / window.sum().square()
        return (power + 1e-9).pow(self.power / 2)

    def forward(self, wav: Tensor, target: Tensor) -> Tensor:
        if wav.shape != target.shape:
            raise ValueError(f"cannot compare sounds of shapes {list(wav.shape)} and {list(target.shape)}")
        total = wav.new_zeros(())
        for n_fft in self.windows:
            with torch.no_grad():
                wanted = self._magnitudes(target, n_fft)
            total = total + (self._magnitudes(wav, n_fft) - wanted).abs().mean()
        return total / len(self.windows)


class WaveformLoss(nn.Module):
    """Mean absolute difference of two sounds sample by sample: [B, S], [B, S] -> scalar.

    below: compare only what lies below this frequency in Hz (None: everything). It asks for the right phase, which
    a codec of a thousand bits a second can afford for the lowest partials of a voice only; asked for more, it
    answers the impossible with silence.
    """

    TAPS = 255

    def __init__(self, below: float | None = None):
        super().__init__()
        self.below = below
        if below:
            time = torch.arange(self.TAPS) - self.TAPS // 2
            taps = torch.sinc(2 * below / SAMPLE_RATE * time) * torch.hann_window(self.TAPS, periodic=False)
            self.register_buffer("taps", (taps / taps.sum())[None, None], persistent=False)

    def forward(self, wav: Tensor, target: Tensor) -> Tensor:
        if wav.shape != target.shape:
            raise ValueError(f"cannot compare sounds of shapes {list(wav.shape)} and {list(target.shape)}")
        difference = wav - target
        if self.below:
            difference = F.conv1d(difference[:, None], self.taps, padding=self.TAPS // 2)
        return difference.abs().mean()
