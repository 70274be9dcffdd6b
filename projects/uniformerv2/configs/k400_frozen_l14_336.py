"""UniFormerV2-L/14 at 336 pixels on Kinetics-400, CLIP frozen. Published: 86.7, top-1.

Global blocks and head alone are trained.
Batch: 512 = 16 GPUs x 32 clips of 8 frames, 336 x 336 pixels, learning rate 8e-4, 50 epochs, 0 of them warm-up.
Test: 3 clips x 1 crop, softmax averaged; while training, one view.
"""

from mmengine.config import read_base

from projects.uniformerv2.weights import UniFormerV2FromCLIP

with read_base():
    from ....configs._base_.datasets.kinetics400 import *
    from ....configs._base_.runtime import *
    from ._base_.models.classifier_large_14 import *
    from ._base_.pixels_336 import *
    from ._base_.run import *

model.num_classes = 400
model.trunk.visual_encoder.image_size = 336
model.trunk.visual_encoder.frozen = True
train_loader.batch_size = 32
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
        test_loader, dataset=dict(kinetics400_test, pipeline=[dict(load, num_clips=3), *center_crop])
    ),
}
optim_wrapper.optimizer.lr = 8e-4
train_cfg.max_epochs = 50
param_scheduler = [dict(param_scheduler[1], begin=0, T_max=50)]
load_from = dict(type=UniFormerV2FromCLIP, file='hf://openai/clip-vit-large-patch14-336/pytorch_model.bin')
