"""Models on disk: a folder with config.json and model.safetensors, nothing executable."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from .config import Config

CONFIG, WEIGHTS = "config.json", "model.safetensors"
SCALE = "_scb"  # NAME_scb holds the largest magnitude of each row of NAME, as in the official 8-bit checkpoints
SHIPPED = Path(__file__).parent / "pretrained"


def shipped_names(part: str) -> list[str]:
    """The models of one kind ("mimi", "generator", …) that come with the package."""
    return (
        sorted(folder.name for folder in SHIPPED.iterdir() if (folder / part / CONFIG).exists())
        if SHIPPED.exists()
        else []
    )


def find_folder(name_or_path: str | os.PathLike, part: str) -> Path:
    """The folder that a shipped name, a path or a Hugging Face repo id stands for."""
    name = os.fspath(name_or_path)
    if name in shipped_names(part):
        return SHIPPED / name / part
    path = Path(name).expanduser()
    if path.is_dir():
        if not (path / CONFIG).exists():
            raise FileNotFoundError(f"{path} holds no {CONFIG}; expected a folder written by save_pretrained")
        return path
    if path.exists():
        raise ValueError(
            f"{path} is a file; from_pretrained takes the folder that holds {CONFIG} and {WEIGHTS}. "
            "For official checkpoint files see minimoshi.interop"
        )
    if name.count("/") == 1 and not name.startswith((".", "/", "~")):
        return _from_hub(name, part)
    raise FileNotFoundError(
        f"no trained model named {name!r} and no such folder; shipped with weights: "
        f"{', '.join(shipped_names(part)) or 'none'}"
    )


def _from_hub(repo: str, part: str) -> Path:
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise FileNotFoundError(
            f"{repo!r} is neither a shipped model ({', '.join(shipped_names(part))}) nor a folder; "
            "to fetch it from Hugging Face, pip install huggingface_hub"
        ) from None
    try:
        return Path(snapshot_download(repo, allow_patterns=[CONFIG, WEIGHTS, "*.model"]))
    except Exception as error:
        raise FileNotFoundError(
            f"{repo!r} is neither a shipped model ({', '.join(shipped_names(part))}) nor a folder, "
            f"and could not be fetched from Hugging Face: {error}"
        ) from error


def read_tensors(path: str | os.PathLike) -> dict[str, Tensor]:
    """All tensors of a safetensors file. ValueError for anything else: pickles are refused, they can run code."""
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no weights file {path}")
    if path.suffix in (".pt", ".pth", ".bin", ".ckpt", ".pkl"):
        raise ValueError(f"{path} looks like a pickle, which can run code when loaded; convert it to safetensors first")
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"{path} is not a complete safetensors file ({error}); it may be truncated, corrupt or a pickle"
        ) from error


def read_json(path: str | os.PathLike) -> Any:
    """The content of a JSON file, or a ValueError that names it."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not readable JSON: {error}") from error


def check_tensors(expected: Mapping[str, torch.Size], tensors: dict[str, Tensor], source: str, kind: str) -> None:
    """ValueError that names together all tensors that are missing, unexpected, misshapen or not finite."""
    problems = [f"missing {name} {list(shape)}" for name, shape in expected.items() if name not in tensors]
    problems += [f"unexpected {name} {list(t.shape)}" for name, t in tensors.items() if name not in expected]
    problems += [
        f"{name}: expected shape {list(expected[name])}, got {list(t.shape)}"
        for name, t in tensors.items()
        if name in expected and t.shape != expected[name]
    ]
    problems += [f"{name} holds NaN or infinite values" for name, t in tensors.items() if not _finite(t)]
    if problems:
        shown = "\n  ".join(problems[:20]) + (f"\n  and {len(problems) - 20} more" if len(problems) > 20 else "")
        raise ValueError(f"{source} does not fit {kind}, {len(problems)} problems:\n  {shown}")


def narrowed(tensors: Mapping[str, Tensor], dtype: torch.dtype | None) -> dict[str, Tensor]:
    """The tensors in another type, as `save_pretrained` writes them; ValueError where it cannot hold them."""
    if dtype is not None and dtype.itemsize == 1 and dtype != torch.int8:
        raise ValueError(f"weights are saved in 8 bits as torch.int8, with a scale for each row; got {dtype}")
    found = {}
    for name, tensor in tensors.items():
        if dtype is None or not tensor.is_floating_point():
            found[name] = tensor
        elif dtype != torch.int8 or tensor.dim() < 2:
            found[name] = tensor.to(torch.float16 if dtype == torch.int8 else dtype)
        elif _finite(tensor):
            largest = tensor.float().abs().amax(-1)
            found[name] = (tensor / largest.clamp(min=1e-30)[..., None] * 127).round().to(torch.int8)
            found[name + SCALE] = largest
    broken = [name for name in tensors if name not in found or not _finite(found[name])]
    if broken:
        raise ValueError(f"not saved: {', '.join(broken)} holds NaN, or values that are too large for {dtype}")
    return found


def widened(
    tensors: Mapping[str, Tensor], source: str, dtype: torch.dtype = torch.float32
) -> dict[str, Tensor]:
    """What `narrowed` made of 8-bit integers as floats again; other tensors as they are."""
    found = {}
    for name, tensor in tensors.items():
        if name.endswith(SCALE) and name.removesuffix(SCALE) in tensors:
            continue
        if tensor.dtype == torch.int8:
            scale = tensors.get(name + SCALE)
            if scale is None or scale.shape != tensor.shape[:-1]:
                given = "nothing" if scale is None else list(scale.shape)
                raise ValueError(
                    f"{source}: {name} {list(tensor.shape)} is of 8-bit integers; expected {name + SCALE} with one "
                    f"number for each row, got {given}"
                )
            tensor = (tensor.float() * (scale.float() / 127)[..., None]).to(dtype)
        found[name] = tensor
    return found


def _finite(t: Tensor) -> bool:
    # the extremes carry NaN along, and finding them is many times faster than asking every element
    t = t.float() if t.dtype.itemsize == 1 and t.is_floating_point() else t  # torch cannot compare 8-bit floats
    return not t.is_floating_point() or not t.numel() or all(extreme.isfinite() for extreme in t.aminmax())


def load_tensors(module: nn.Module, tensors: dict[str, Tensor], source: str) -> None:
    """Copy tensors into a module. What does not fit is named as by `check_tensors`."""
    expected = {name: t.shape for name, t in module.state_dict().items()}
    check_tensors(expected, tensors, source, type(module).__name__)
    module.load_state_dict(tensors)


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file in one go: a crash leaves the old file whole."""
    unfinished = path.with_suffix(path.suffix + ".unfinished")
    save_file({name: t.detach().cpu().contiguous() for name, t in tensors.items()}, unfinished, metadata)
    unfinished.chmod(0o644)  # safetensors makes files that only their owner may read
    os.replace(unfinished, path)


class Pretrained:
    """Mixin: `from_pretrained` and `save_pretrained` for modules built as `Class(config)`."""

    config_class: ClassVar[type[Config]]
    part: ClassVar[str]  # the subfolder of a shipped model
    config: Any

    def save_pretrained(self, folder: str | os.PathLike, dtype: torch.dtype | None = None) -> None:
        """Write config.json and model.safetensors into `folder` (made if need be); `dtype` may make the file smaller.

        With torch.int8 every row of a matrix has a scale of its own, and norms and biases, which are few, get 16 bits.
        """
        tensors = narrowed(self.state_dict(), dtype)
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_tensors(folder / WEIGHTS, tensors)
        card = {"minimoshi": type(self).__name__, **self._notes(), "config": self.config.to_dict()}
        (folder / CONFIG).write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def from_pretrained(
        cls, name_or_path: str | os.PathLike, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
    ):
        """Load a shipped model by name ("tiny"), a folder written by `save_pretrained`, or a Hugging Face repo id."""
        folder = find_folder(name_or_path, cls.part)
        card = read_json(folder / CONFIG)
        if not isinstance(card, dict) or card.get("minimoshi") != cls.__name__:
            kind = card.get("minimoshi") if isinstance(card, dict) else None
            raise ValueError(
                f"{folder / CONFIG} describes {kind or 'no minimoshi model'}, not a {cls.__name__}; "
                "official checkpoints load through minimoshi.interop"
            )
        if not isinstance(card.get("config"), dict):
            raise ValueError(f'{folder / CONFIG} has no "config" with the numbers of the model')
        model = cls(cls.config_class.from_dict(card["config"]))
        model._load(folder, card)
        return model._place(device, dtype).eval()

    def _place(self, device: str | torch.device, dtype: torch.dtype):
        return self.to(device=device, dtype=dtype)

    def _notes(self) -> dict[str, Any]:
        """What config.json should say beside the numbers."""
        return {}

    def _load(self, folder: Path, card: dict[str, Any]) -> None:
        source = folder / WEIGHTS
        load_tensors(self, widened(read_tensors(source), str(source)), str(source))
