from .base import Evaluation, EvaluationResult
from .captioning import CaptionEvaluation
from .retrieval import RetrievalEvaluation
from .zero_shot import ZeroShotEvaluation

__all__ = ['CaptionEvaluation', 'Evaluation', 'EvaluationResult', 'RetrievalEvaluation', 'ZeroShotEvaluation']
