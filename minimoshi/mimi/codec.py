"""MimiAudioCodec: speech to tokens and back, 80 ms at a time (paper §3.3)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..checkpoint import Pretrained
from ..config import SAMPLE_RATE, MimiConfig
from ..nn import (
    ChainState,
    ConvState,
    ConvTransposeState,
    State,
    StreamingConv1d,
    StreamingConvTranspose1d,
    Transformer,
    TransformerState,
)
from ..nn.state import check_batch
from .quantizer import SplitResidualVectorQuantizer
from .seanet import seanet_decoder, seanet_encoder


@dataclass
class CodecState(State):
    """The memory of one codec stream: encoding and decoding may share a state, neither touches the other's part."""

    encoder: ChainState
    encoder_transformer: TransformerState
    downsample: ConvState
    upsample: ConvTransposeState
    decoder_transformer: TransformerState
    decoder: ChainState


class MimiAudioCodec(Pretrained, nn.Module):
    """24 kHz speech [B, 1, S] <-> int64 codes [B, Q, F] at 12.5 frames a second; code 0 is semantic, the rest acoustic.

    >>> codec = MimiAudioCodec.from_pretrained("tiny")
    >>> codes = codec.encode(wav)                      # one piece
    >>> state = codec.initial_state()
    >>> codes = codec.encode(wav[..., :1920], state)   # 80 ms of a stream
    """

    config_class = MimiConfig
    part = "mimi"

    def __init__(self, config: MimiConfig | None = None):
        super().__init__()
        self.config = config = config or MimiConfig.preset("tiny")
        self.encoder = seanet_encoder(config)
        self.encoder_transformer = Transformer(config.transformer)
        factor = config.downsample
        self.downsample = StreamingConv1d(
            config.dim, config.dim, 2 * factor, stride=factor, bias=False, pad_mode="replicate"
        )
        self.quantizer = SplitResidualVectorQuantizer(config)
        self.upsample = StreamingConvTranspose1d(
            config.dim, config.dim, 2 * factor, stride=factor, groups=config.dim, bias=False
        )
        self.decoder_transformer = Transformer(config.transformer)
        self.decoder = seanet_decoder(config)

    sample_rate = SAMPLE_RATE

    @property
    def frame_size(self) -> int:
        """Samples in a frame: 1920."""
        return self.config.frame_size

    @property
    def frame_rate(self) -> float:
        """Frames a second: 12.5."""
        return self.config.frame_rate

    @property
    def n_quantizers(self) -> int:
        """Codebooks that `encode` gives and `decode` takes at most."""
        return self.config.n_quantizers

    def use_quantizers(self, n_quantizers: int) -> MimiAudioCodec:
        """From now on work with this many of the codebooks that exist. Returns the codec itself."""
        self.config = self.config.replace(n_quantizers=n_quantizers)
        return self

    def initial_state(self, batch_size: int = 1) -> CodecState:
        """A fresh stream, on the codec's device and dtype."""
        return CodecState(
            **{name: getattr(self, name).initial_state(batch_size) for name in CodecState.__dataclass_fields__}
        )

    @torch.no_grad()
    def encode(self, wav: Tensor, state: CodecState | None = None) -> Tensor:
        """float [B, 1, S] -> int64 [B, Q, F].

        In one piece (state None) S is padded right with silence to whole frames. With a state, S must be a positive
        multiple of 1920. ValueError for anything that is not clean 24 kHz mono float audio.
        """
        return self.quantizer.encode(self.to_latent(wav, state), self.n_quantizers)

    @torch.no_grad()
    def decode(self, codes: Tensor, state: CodecState | None = None) -> Tensor:
        """int64 [B, Q, F] with 1 <= Q <= n_quantizers -> float [B, 1, 1920 · F]."""
        self._check_codes(codes)
        check_batch(state, codes, "decode")
        return self.from_latent(self.quantizer.decode(codes), state)

    def to_latent(self, wav: Tensor, state: CodecState | None = None) -> Tensor:
        """float [B, 1, S] -> the latent [B, D, F] that the quantiser sees."""
        self._check_audio(wav)
        check_batch(state, wav, "encode")
        short = -wav.shape[-1] % self.frame_size
        if short and state is not None:
            raise ValueError(
                f"a stream is encoded in whole frames: S must be a multiple of {self.frame_size}, "
                f"got {wav.shape[-1]}; keep the remainder for the next call or pad the last one"
            )
        wav = F.pad(wav, (0, short)).to(self.downsample.weight.dtype)
        x = self.encoder(wav, state and state.encoder)
        x = self.encoder_transformer(x.transpose(1, 2), state and state.encoder_transformer).transpose(1, 2)
        return self.downsample(x, state and state.downsample)

    def from_latent(self, latent: Tensor, state: CodecState | None = None) -> Tensor:
        """The latent [B, D, F], quantised or not -> float [B, 1, 1920 · F]."""
        if latent.dim() != 3 or latent.shape[1] != self.config.dim or not latent.shape[2]:
            raise ValueError(f"expected a latent of shape [B, {self.config.dim}, F], got {list(latent.shape)}")
        x = self.upsample(latent, state and state.upsample)
        x = self.decoder_transformer(x.transpose(1, 2), state and state.decoder_transformer).transpose(1, 2)
        return self.decoder(x, state and state.decoder)

    def _check_audio(self, wav: Tensor) -> None:
        if wav.dim() != 3 or wav.shape[1] != 1:
            raise ValueError(
                f"expected mono audio of shape [B, 1, S], got {list(wav.shape)}; "
                "add dimensions with wav[None, None]; of a stereo recording average the channels if they hold one "
                "speaker, encode them apart as a batch, wav[:, None], if they hold two"
            )
        if not wav.is_floating_point():
            raise ValueError(f"expected float audio in -1..1, got {wav.dtype}; divide 16-bit samples by 32768")
        if wav.shape[-1] == 0:
            raise ValueError("the audio is empty")
        if not torch.isfinite(wav).all():
            raise ValueError("the audio holds NaN or infinite samples")

    def _check_codes(self, codes: Tensor) -> None:
        if codes.dim() != 3 or not 1 <= codes.shape[1] <= self.n_quantizers or codes.shape[2] == 0:
            raise ValueError(
                f"expected codes of shape [B, Q, F] with 1 to {self.n_quantizers} codebooks, got {list(codes.shape)}"
            )
        if codes.dtype != torch.int64:
            raise ValueError(f"expected int64 codes, got {codes.dtype}")
        low, high = codes.aminmax()
        if low < 0 or high >= self.config.codebook_size:
            raise ValueError(f"codes must lie in 0..{self.config.codebook_size - 1}, got {int(low)}..{int(high)}")
