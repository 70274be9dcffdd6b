from .base import TrainingStep, TrunkModel
from .caption import OmniVLCaption
from .classify import OmniVLClassifier
from .pretrain import OmniVLPretrain
from .qa import OmniVLQA
from .retrieval import OmniVLRetrieval

__all__ = [
    'OmniVLCaption',
    'OmniVLClassifier',
    'OmniVLPretrain',
    'OmniVLQA',
    'OmniVLRetrieval',
    'TrainingStep',
    'TrunkModel',
]
