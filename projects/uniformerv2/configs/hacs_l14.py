"""UniFormerV2-L/14, K710 -> Kinetics-400 -> HACS. Published: 95.5, top-1.

Batch: 64 = 16 GPUs x 4 clips of 16 frames, 224 x 224 pixels, learning rate 5e-6, 20 epochs, 5 of them warm-up.
Test: 10 clips x 3 crops, softmax averaged; while training, one view.
"""

from mmengine.config import read_base

from projects.uniformerv2.weights import UniFormerV2Reader

with read_base():
    from ....configs._base_.runtime import *
    from ._base_.datasets.hacs import *
    from ._base_.models.classifier_large_14 import *
    from ._base_.pixels_224 import *
    from ._base_.run import *

model.num_classes = 200
model.trunk.visual_encoder.num_frames = 16
model.trunk.visual_encoder.drop_path = 0.2
model.trunk.visual_encoder.global_drop_path = 0.4
load.num_frames = 16
train_loader.batch_size = 4
train_dataloader = dict(
    video=dict(train_loader, dataset=dict(hacs_train, pipeline=[dict(load, random=True), *mirrored]))
)
val_dataloader = {
    'video.classification': dict(test_loader, dataset=dict(hacs_test, pipeline=[load, *center_crop])),
}
test_dataloader = {
    'video.classification': dict(
        test_loader, dataset=dict(hacs_test, pipeline=[dict(load, num_clips=10), *three_crops])
    ),
}
optim_wrapper.optimizer.lr = 5e-6
train_cfg.max_epochs = 20
param_scheduler[0].update(start_factor=0.2, end=5)
param_scheduler[1].update(begin=5, T_max=15)
load_from = dict(
    type=UniFormerV2Reader,
    file='data/uniformerv2/k400_k710_uniformerv2_l14_16x224.pyth',
)
