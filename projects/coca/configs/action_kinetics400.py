"""CoCa-Base finetuned on Kinetics-400: 16 frames, each on its own, under one pooler. The paper's CoCa: 88.9, top-1.

Batch: 128 = 16 GPUs x 8 clips. On R GPUs set train_dataloader.video.batch_size to 128 / R, or accumulate.
The paper's: learning rate 1e-4, 16 frames of 288 pixels, one query over the tokens of all of them. Ours: 20 epochs,
label smoothing, weight decay, augmentation, three crops of one clip in the test.
"""

from mmengine.config import read_base

from omnivl.datasets.samplers import EpochSampler
from omnivl.engine import AlternatingTrainLoop
from omnivl.evaluation import ClassificationEvaluation

with read_base():
    from ....configs._base_.datasets.kinetics400 import *
    from ....configs._base_.runtime import *
    from ._base_.classes import *
    from ._base_.pixels_288 import *

model.update(num_classes=400, label_smoothing=0.1)
train_dataloader = dict(
    video=dict(
        batch_size=8,
        num_workers=12,
        pin_memory=True,
        sampler=dict(type=EpochSampler),
        dataset=dict(kinetics400_train, templates=None, pipeline=video_classes_pipeline),
    )
)
train_cfg = dict(type=AlternatingTrainLoop, max_epochs=20, epoch_by='video', val_interval=5)

loader = dict(batch_size=8, num_workers=12, sampler=dict(type=EpochSampler, shuffle=False))
val_dataloader = {
    'video.classification': dict(loader, dataset=dict(kinetics400_test, pipeline=video_one_view_pipeline))
}
val_evaluator = {'video.classification': dict(type=ClassificationEvaluation)}
val_cfg = test_cfg
test_dataloader = {
    'video.classification': dict(loader, dataset=dict(kinetics400_test, pipeline=video_three_crops_pipeline))
}
test_evaluator = {'video.classification': dict(type=ClassificationEvaluation)}
