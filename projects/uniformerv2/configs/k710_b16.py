"""UniFormerV2-B/16 from CLIP on Kinetics-710. Published: 78.9, top-1 (mmaction2, own copy).

Batch: 256 = 8 GPUs x 32 clips of 8 frames, 224 x 224 pixels, learning rate 1e-5, 55 epochs, 5 of them warm-up.
Test: 4 clips x 3 crops, softmax averaged; while training, one view.
"""

from mmengine.config import read_base

from omnivl.datasets import MixedDataset
from projects.uniformerv2.weights import UniFormerV2FromCLIP

with read_base():
    from ....configs._base_.runtime import *
    from ._base_.datasets.kinetics710 import *
    from ._base_.models.classifier_base_16 import *
    from ._base_.pixels_224 import *
    from ._base_.run import *

model.num_classes = 710
train_loader.batch_size = 32
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
optim_wrapper.optimizer.lr = 1e-5
train_cfg.max_epochs = 55
param_scheduler[0].update(start_factor=0.1, end=5)
param_scheduler[1].update(begin=5, T_max=50)
load_from = dict(type=UniFormerV2FromCLIP, file='hf://openai/clip-vit-base-patch16/pytorch_model.bin')
