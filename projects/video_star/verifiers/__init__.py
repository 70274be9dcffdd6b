from .base import Verdict, Verifier
from .models import Entailment, Judge, SentenceEmbedding
from .numeric import BoxOverlap, Number, TimeRange, TimeStamp
from .verbal import ClassName, ClassSequence, SameOrNot, SentenceOverlap, SentenceSequence, Words, YesNo

__all__ = [
    'BoxOverlap',
    'ClassName',
    'ClassSequence',
    'Entailment',
    'Judge',
    'Number',
    'SameOrNot',
    'SentenceEmbedding',
    'SentenceOverlap',
    'SentenceSequence',
    'TimeRange',
    'TimeStamp',
    'Verdict',
    'Verifier',
    'Words',
    'YesNo',
]
