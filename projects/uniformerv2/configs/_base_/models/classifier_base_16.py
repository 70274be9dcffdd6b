"""UniFormerV2-B/16 for scene data, with a head for classes (2211.09552; sizes and dropout of the published code).

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
            tokenizer=dict(type=VideoTokenizer, patch_size=16, time_kernel=1, time_stride=1, bias=False),
            width=768,
            depth=12,
            num_heads=12,
            image_size=224,
            num_frames=8,
            global_layers=(8, 9, 10, 11),
            global_dropout=0.5,
        ),
    ),
    dropout=0.5,
)
