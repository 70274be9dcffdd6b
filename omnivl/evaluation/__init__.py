from .base import Evaluation, EvaluationResult
from .captioning import CaptionEvaluation
from .classification import ClassificationEvaluation
from .linear_probe import LinearProbeEvaluation
from .multi_label import MultiLabelEvaluation
from .multiple_choice import MultipleChoiceEvaluation
from .pair_retrieval import PairRetrievalEvaluation
from .qa import QAEvaluation
from .retrieval import RetrievalEvaluation
from .zero_shot import ZeroShotEvaluation

__all__ = [
    'CaptionEvaluation',
    'ClassificationEvaluation',
    'Evaluation',
    'EvaluationResult',
    'LinearProbeEvaluation',
    'MultiLabelEvaluation',
    'MultipleChoiceEvaluation',
    'PairRetrievalEvaluation',
    'QAEvaluation',
    'RetrievalEvaluation',
    'ZeroShotEvaluation',
]
