"""OmniVL finetuned on Something-Something v2. The paper's result: 62.5, top-1 (2209.07526; second-hand and not sure).

Clips are never mirrored, for many of the 174 classes tell left from right. Test: the validation set (the test set's
labels are not published) in 2 clips x 3 crops, softmax averaged; while training, one view. All else is that of
configs/omnivl/action_kinetics400.py: 256 = 32 GPUs x 8 clips of 8 frames, 224 x 224 pixels, learning rate 5e-5 (ours),
AdamW, weight decay 0.05, linear decay, 20 epochs (ours).
"""

from mmengine.config import read_base

with read_base():
    from .._base_.datasets.something_something import *
    from .action_kinetics400 import *

model.num_classes = 174
train_dataloader.video.dataset = dict(ssv2_train, pipeline=unmirrored_pipeline)
val_dataloader = {'video.classification': dict(loader, dataset=dict(ssv2_val, pipeline=one_view_pipeline))}
test_dataloader = {'video.classification': dict(loader, dataset=dict(ssv2_val, pipeline=views_2x3_pipeline))}
