"""A video encoder of VATT finetuned on Kinetics-400; the encoder and where it starts are said by who uses this.

Batch, optimizer, pixels and views: ``finetune.py``, the published settings.
"""

from mmengine.config import read_base

with read_base():
    from .....configs._base_.datasets.kinetics400 import *
    from .....configs._base_.runtime import *
    from .finetune import *

action_model = dict(
    type=OmniVLClassifier,
    num_classes=400,
    label_smoothing=0.1,
    dropout=0.5,
    data_preprocessor=dict(type=VLDataPreprocessor, mean=[0.5] * 3, std=[0.5] * 3),
)
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
