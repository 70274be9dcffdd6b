"""UniFormerV2-L/14 at 336 pixels from CLIP on Kinetics-710. Published: weights without a figure.

Batch: 256 = 32 GPUs x 8 clips of 8 frames, 336 x 336 pixels, learning rate 5e-6, 40 epochs, 5 of them warm-up.
Test: 4 clips x 3 crops, softmax averaged; while training, one view.
"""

from mmengine.config import read_base

from omnivl.datasets import MixedDataset
from projects.uniformerv2.weights import UniFormerV2FromCLIP

with read_base():
    from ....configs._base_.runtime import *
    from ._base_.datasets.kinetics710 import *
    from ._base_.models.classifier_large_14 import *
    from ._base_.pixels_336 import *
    from ._base_.run import *

model.num_classes = 710
model.trunk.visual_encoder.image_size = 336
train_loader.batch_size = 8
train_dataloader = dict(
    video=dict(
        train_loader,
        dataset=dict(
            type=MixedDataset,
            datasets=[dict(source, pipeline=[dict(load, random=True), *mirrored]) for source in kinetics710_train],
        ),
    )
)
val_dataloader = {
    'video.classification': dict(test_loader, dataset=dict(kinetics710_test, pipeline=[load, *center_crop])),
}
test_dataloader = {
    'video.classification': dict(
        test_loader, dataset=dict(kinetics710_test, pipeline=[dict(load, num_clips=4), *three_crops])
    ),
}
optim_wrapper.optimizer.lr = 5e-6
train_cfg.max_epochs = 40
param_scheduler[0].update(start_factor=0.2, end=5)
param_scheduler[1].update(begin=5, T_max=35)
load_from = dict(type=UniFormerV2FromCLIP, file='hf://openai/clip-vit-large-patch14-336/pytorch_model.bin')
