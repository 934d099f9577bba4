"""Teachers of what a codec's tokens should mean.

`latents` fixes both kinds of latents for the decoupled recipe. The semantic teachers, one interface
(`interface.Teacher`), are for distillation: `phones`, `selfsupervised`, `whisper`, `wavlm`. `compare` measures
how well the features of each tell phones apart.
"""

from .interface import Teacher, open_teacher
from .latents import SpeechTeacher, fit_statistics
from .phone_net import PhoneNet, train_phone_net

__all__ = [
    "PhoneNet",
    "SpeechTeacher",
    "Teacher",
    "fit_statistics",
    "open_teacher",
    "train_phone_net",
]
