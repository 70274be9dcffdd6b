from .parts import MultimodalDecoder, TaskPoolers
from .qa import CoCaQA
from .tasks import CoCaClassifier, CoCaPretrain
from .trunk import CoCa

__all__ = ['CoCa', 'CoCaClassifier', 'CoCaPretrain', 'CoCaQA', 'MultimodalDecoder', 'TaskPoolers']
