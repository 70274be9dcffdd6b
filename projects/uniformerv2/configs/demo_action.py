"""Demo: UniFormerV2 on the ViT of the image stage, finetuned on eight motions in pairs of opposite order.

As projects/demo/configs/action_recognition.py in all but the model and where it starts. The ViT is that of the image
stage, with its stem, its GELU and without a norm before the blocks, every frame on its own: what is seen of the order
is seen by local relations and global blocks. ``projects/uniformerv2/tools/study.py`` switches them off one by one.
"""

from mmengine.config import read_base

from omnivl.models import OmniVLClassifier, VisualTrunk
from omnivl.models.tokenizers import VideoTokenizer
from projects.uniformerv2.model import UniFormerV2
from projects.uniformerv2.weights import UniFormerV2FromStage

with read_base():
    from ...demo.configs.action_recognition import *

model = dict(
    type=OmniVLClassifier,
    trunk=dict(
        type=VisualTrunk,
        visual_encoder=dict(
            type=UniFormerV2,
            tokenizer=dict(
                type=VideoTokenizer, patch_size=16, time_kernel=1, time_stride=1, stem_channels=stem, bias=True
            ),
            width=128,
            depth=2,
            num_heads=4,
            mlp_ratio=2.0,
            image_size=64,
            num_frames=4,
            num_local=2,
            global_layers=(0, 1),
            global_dropout=0.0,
            norm_eps=1e-6,
            pre_norm=False,
            activation='gelu',
            init_std=0.08,
        ),
    ),
    num_classes=8,
)
load_from = dict(type=UniFormerV2FromStage, file=f'{demo_work_dir}/stage1')
