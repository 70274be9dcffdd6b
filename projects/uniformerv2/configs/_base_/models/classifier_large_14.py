"""UniFormerV2-L/14 for scene data, with a head for classes (2211.09552; sizes and dropout of the published code).

Its pixels are normalised with one mean and deviation for all channels, not with CLIP's.
"""

from omnivl.models import OmniVLClassifier, VisualTrunk, VLDataPreprocessor
from omnivl.models.tokenizers import VideoTokenizer
from projects.uniformerv2.model import UniFormerV2

model = dict(
    type=OmniVLClassifier,
    data_preprocessor=dict(type=VLDataPreprocessor, mean=(0.45, 0.45, 0.45), std=(0.225, 0.225, 0.225)),
    trunk=dict(
        type=VisualTrunk,
        visual_encoder=dict(
            type=UniFormerV2,
            tokenizer=dict(type=VideoTokenizer, patch_size=14, time_kernel=1, time_stride=1, bias=False),
            width=1024,
            depth=24,
            num_heads=16,
            image_size=224,
            num_frames=8,
            global_layers=(20, 21, 22, 23),
            global_dropout=0.5,
        ),
    ),
    dropout=0.5,
)
