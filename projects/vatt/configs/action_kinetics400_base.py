"""The video encoder of VATT-BBS finetuned on Kinetics-400. Published: 79.6, top-1.

Batch, optimizer, pixels and views: ``_base_/finetune.py``, the published settings. Starts from pretrain_bbs.py, or
from the published weights: ``load_from=dict(type=VATTReader, file='.../ckpt-500000.index')``.
"""

from mmengine.config import read_base

from omnivl.weights import StageReader

with read_base():
    from ....configs._base_.datasets.kinetics400 import *
    from ....configs._base_.runtime import *
    from ._base_.finetune import *
    from ._base_.models.vatt_bbs import *

model = dict(
    type=OmniVLClassifier,
    trunk=dict(type=VisualTrunk, visual_encoder=trunk.visual_encoder),
    num_classes=400,
    label_smoothing=0.1,
    dropout=0.5,
    data_preprocessor=dict(type=VLDataPreprocessor, mean=[0.5] * 3, std=[0.5] * 3),
)
load_from = dict(type=StageReader, file='work_dirs/vatt_pretrain_bbs')
train_dataloader = dict(
    video=dict(train_loader, dataset=dict(kinetics400_train, templates=None, pipeline=video_classes_pipeline))
)
val_dataloader = {
    'video.classification': dict(test_loader, dataset=dict(kinetics400_test, pipeline=video_one_view_pipeline))
}
test_dataloader = {
    'video.classification': dict(test_loader, dataset=dict(kinetics400_test, pipeline=video_4x3_pipeline))
}
val_evaluator = test_evaluator = {'video.classification': classification}
