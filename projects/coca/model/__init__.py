from .parts import MultimodalDecoder, TaskPoolers
from .tasks import CoCaClassifier, CoCaPretrain
from .trunk import CoCa

__all__ = ['CoCa', 'CoCaClassifier', 'CoCaPretrain', 'MultimodalDecoder', 'TaskPoolers']
