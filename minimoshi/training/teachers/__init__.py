"""Teachers of what a codec's tokens should mean.

`latents` fixes both kinds of latents for the decoupled recipe. The semantic teachers, one interface
(`interface.Teacher`), are for distillation: `phones`, `selfsupervised`, `whisper`, `wavlm`. `compare` measures
how well the features of each tell phones apart.
"""

from ..codebooks import kmeans, nearest, residual_kmeans
from .interface import Batches, Teacher, open_teacher
from .latents import SpeechTeacher, fit_statistics
from .phone_net import PhoneNet, train_phone_net

__all__ = [
    "Batches",
    "PhoneNet",
    "SpeechTeacher",
    "Teacher",
    "fit_statistics",
    "kmeans",
    "nearest",
    "open_teacher",
    "residual_kmeans",
    "train_phone_net",
]
