"""BLIP's weights finetuned on VQAv2 without any pretraining of ours. BLIP's result: 78.2 on test-dev (2201.12086).

Start: BLIP's pretraining, as its authors' .pth. BLIP's values (configs/vqa.yaml, train_vqa.py and models/blip_vqa.py of
its code): 480 pixels, learning rate 2e-5, weight decay 0.05, batch 256 = 16 GPUs x 16, 10 epochs, cosine decay to 0
epoch by epoch, stochastic depth 0.1. Differs from BLIP: no mirrored pictures, as questions speak of left and right;
biases and norms are not decayed; answers are ranked without label smoothing.
Data and test are those of configs/omnivl/vqa_v2.py.
"""

from mmengine.config import read_base
from mmengine.optim import CosineAnnealingLR

from omnivl.weights import BLIPReader

with read_base():
    from .._base_.pipelines.qa_480 import *
    from .vqa_v2 import *

model.trunk.visual_encoder.image_size = 480
model.trunk.visual_encoder.drop_path = 0.1
train_dataloader.image.dataset = dict(
    type=MixedDataset,
    datasets=[
        dict(vqa_v2_train, pipeline=image_pipeline_480),
        dict(vqa_v2_val, pipeline=image_pipeline_480),
        dict(visual_genome_qa, pipeline=image_pipeline_480),
    ],
)
param_scheduler = [dict(type=CosineAnnealingLR, by_epoch=True, T_max=10, eta_min=0.0)]
load_from = dict(type=BLIPReader, file='data/weights/blip_base.pth')

test_dataloader['image.qa'].dataset = dict(vqa_v2_test_dev, pipeline=image_test_pipeline_480)
