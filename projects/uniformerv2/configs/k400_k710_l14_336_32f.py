"""UniFormerV2-L/14 at 336 pixels and 32 frames, K710 -> Kinetics-400. Published: 89.7, top-1.

Batch: 128 = 32 GPUs x 4 clips of 32 frames, 336 x 336 pixels, learning rate 1.5e-6, 5 epochs, 1 of them warm-up.
Test: 2 clips x 3 crops, softmax averaged; while training, one view.
"""

from mmengine.config import read_base

from projects.uniformerv2.weights import UniFormerV2Reader

with read_base():
    from ....configs._base_.datasets.kinetics400 import *
    from ....configs._base_.runtime import *
    from ._base_.models.classifier_large_14 import *
    from ._base_.pixels_336 import *
    from ._base_.run import *

model.num_classes = 400
model.trunk.visual_encoder.num_frames = 32
model.trunk.visual_encoder.image_size = 336
model.trunk.visual_encoder.activation_checkpointing = True
load.num_frames = 32
train_loader.batch_size = 4
train_dataloader = dict(
    video=dict(
        train_loader, dataset=dict(kinetics400_train, templates=None, pipeline=[dict(load, random=True), *mirrored])
    )
)
val_dataloader = {
    'video.classification': dict(test_loader, dataset=dict(kinetics400_test, pipeline=[load, *center_crop])),
}
test_dataloader = {
    'video.classification': dict(
        test_loader, dataset=dict(kinetics400_test, pipeline=[dict(load, num_clips=2), *three_crops])
    ),
}
optim_wrapper.optimizer.lr = 1.5e-6
train_cfg.max_epochs = 5
param_scheduler[0].update(start_factor=0.6667, end=1)
param_scheduler[1].update(begin=1, T_max=4)
load_from = dict(
    type=UniFormerV2Reader,
    file='data/uniformerv2/k710_uniformerv2_l14_8x336.pyth',
    label_map='data/kinetics710/map_k400.json',
)
