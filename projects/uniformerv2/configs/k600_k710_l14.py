"""UniFormerV2-L/14, K710 -> Kinetics-600. Published: 89.0, top-1.

The head starts as the rows of the K710 head that the label map names. After a K710 training of your own:
load_from = dict(type=StageReader, file='work_dirs/k710_l14', label_map=...).
Batch: 256 = 16 GPUs x 16 clips of 8 frames, 224 x 224 pixels, learning rate 1.5e-6, 5 epochs, 1 of them warm-up.
Test: 4 clips x 3 crops, softmax averaged; while training, one view.
"""

from mmengine.config import read_base

from projects.uniformerv2.weights import UniFormerV2Reader

with read_base():
    from ....configs._base_.runtime import *
    from ._base_.datasets.kinetics600 import *
    from ._base_.models.classifier_large_14 import *
    from ._base_.pixels_224 import *
    from ._base_.run import *

model.num_classes = 600
train_loader.batch_size = 16
train_dataloader = dict(
    video=dict(train_loader, dataset=dict(kinetics600_train, pipeline=[dict(load, random=True), *mirrored]))
)
val_dataloader = {
    'video.classification': dict(test_loader, dataset=dict(kinetics600_test, pipeline=[load, *center_crop])),
}
test_dataloader = {
    'video.classification': dict(
        test_loader, dataset=dict(kinetics600_test, pipeline=[dict(load, num_clips=4), *three_crops])
    ),
}
optim_wrapper.optimizer.lr = 1.5e-6
train_cfg.max_epochs = 5
param_scheduler[0].update(start_factor=0.6667, end=1)
param_scheduler[1].update(begin=1, T_max=4)
load_from = dict(
    type=UniFormerV2Reader,
    file='data/uniformerv2/k710_uniformerv2_l14_8x224.pyth',
    label_map='data/kinetics710/map_k600.json',
)
