from .base import Evaluation, EvaluationResult
from .captioning import CaptionEvaluation
from .qa import QAEvaluation, submission
from .retrieval import RetrievalEvaluation
from .zero_shot import ZeroShotEvaluation

__all__ = [
    'CaptionEvaluation',
    'Evaluation',
    'EvaluationResult',
    'QAEvaluation',
    'RetrievalEvaluation',
    'ZeroShotEvaluation',
    'submission',
]
