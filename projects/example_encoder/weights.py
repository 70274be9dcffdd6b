"""The checkpoint that timm saves of such a backbone, head and all."""

from torch import Tensor

from omnivl.models.interfaces import HasParts
from omnivl.registry import WEIGHT_READERS
from omnivl.weights import WeightReader

BACKBONE = 'visual_encoder.backbone.'
# timm flattens the outermost containers of a model that gives feature maps.
FLATTENED = {'stem.': 'stem_', 'stages.': 'stages_'}


@WEIGHT_READERS.register_module()
class TimmBackboneReader(WeightReader):
    """Weights of a timm classifier as those of the backbone of ``TimmFrameEncoder``. Arguments as ``WeightReader``."""

    unused_by_design = ('head.*', 'fc.*')
    left_by_design = ('visual_encoder.proj.*', 'visual_encoder.norm.*')

    def translate(self, weights: dict[str, Tensor], model: HasParts) -> dict[str, Tensor]:
        """Translate the keys of the layers that the backbone has; those above its last feature map stay unused."""
        names = {key: flattened(key) for key in weights}
        own = model.parts['visual_encoder'].backbone.state_dict().keys()
        return {BACKBONE + name: weights.pop(key) for key, name in names.items() if name in own}


def flattened(key: str) -> str:
    """Give the name that a layer of the classifier has in the model of feature maps."""
    for container, begin in FLATTENED.items():
        if key.startswith(container):
            return begin + key.removeprefix(container)
    return key
