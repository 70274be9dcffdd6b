"""UniFormerV2-B/16, K710 -> Kinetics-400 -> Moments in Time. Published: 42.6, top-1.

Batch: 512 = 16 GPUs x 32 clips of 8 frames, 224 x 224 pixels, learning rate 2e-5, 24 epochs, 5 of them warm-up.
Test: 4 clips x 3 crops, softmax averaged; while training, one view.
"""

from mmengine.config import read_base

from projects.uniformerv2.weights import UniFormerV2Reader

with read_base():
    from ....configs._base_.runtime import *
    from ._base_.datasets.moments_in_time import *
    from ._base_.models.classifier_base_16 import *
    from ._base_.pixels_224 import *
    from ._base_.run import *

model.num_classes = 339
train_loader.batch_size = 32
train_dataloader = dict(
    video=dict(train_loader, dataset=dict(mit_train, pipeline=[dict(load, random=True), *mirrored]))
)
val_dataloader = {
    'video.classification': dict(test_loader, dataset=dict(mit_test, pipeline=[load, *center_crop])),
}
test_dataloader = {
    'video.classification': dict(test_loader, dataset=dict(mit_test, pipeline=[dict(load, num_clips=4), *three_crops])),
}
optim_wrapper.optimizer.lr = 2e-5
train_cfg.max_epochs = 24
param_scheduler[0].update(start_factor=0.05, end=5)
param_scheduler[1].update(begin=5, T_max=19)
load_from = dict(
    type=UniFormerV2Reader,
    file='data/uniformerv2/k400_k710_uniformerv2_b16_8x224.pyth',
)
