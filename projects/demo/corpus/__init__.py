from .manifest import CorpusParameters
from .write import write_corpus

__all__ = ['CorpusParameters', 'write_corpus']
