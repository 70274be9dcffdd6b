from .base import Evaluation, EvaluationResult
from .captioning import CaptionEvaluation
from .classification import ClassificationEvaluation
from .linear_probe import LinearProbeEvaluation
from .multiple_choice import MultipleChoiceEvaluation
from .qa import QAEvaluation
from .retrieval import RetrievalEvaluation
from .zero_shot import ZeroShotEvaluation

__all__ = [
    'CaptionEvaluation',
    'ClassificationEvaluation',
    'Evaluation',
    'EvaluationResult',
    'LinearProbeEvaluation',
    'MultipleChoiceEvaluation',
    'QAEvaluation',
    'RetrievalEvaluation',
    'ZeroShotEvaluation',
]
