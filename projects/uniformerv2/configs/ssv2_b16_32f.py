"""UniFormerV2-B/16 from CLIP on Something-Something v2, 32 frames. Published: 70.7, top-1.

Local relations in every block, more global blocks, half the frames after the stem; nothing is mirrored.
Every video is there twice in an epoch, each time cut and augmented anew; the published code puts both into one batch.
Batch: 256 = 16 GPUs x 16 clips of 32 frames, 224 x 224 pixels, learning rate 4e-5, 22 epochs, 5 of them warm-up.
Test: 1 clip x 3 crops, softmax averaged; while training, one view.
"""

from mmengine.config import read_base

from omnivl.datasets import MixedDataset
from projects.uniformerv2.weights import UniFormerV2FromCLIP

with read_base():
    from ....configs._base_.datasets.something_something import *
    from ....configs._base_.runtime import *
    from ._base_.models.classifier_base_16 import *
    from ._base_.pixels_224 import *
    from ._base_.run import *

model.num_classes = 174
model.trunk.visual_encoder.num_frames = 32
model.trunk.visual_encoder.tokenizer.update(time_kernel=3, time_stride=2)
model.trunk.visual_encoder.num_local = 2
model.trunk.visual_encoder.global_layers = (4, 5, 6, 7, 8, 9, 10, 11)
model.trunk.visual_encoder.drop_path = 0.2
model.trunk.visual_encoder.global_drop_path = 0.4
load.num_frames = 32
train_loader.batch_size = 16
train_dataloader = dict(
    video=dict(
        train_loader,
        dataset=dict(
            type=MixedDataset,
            datasets=[
                dict(ssv2_train, name=name, pipeline=[dict(load, random=True), *unmirrored])
                for name in ('ssv2_train', 'ssv2_train_again')
            ],
        ),
    )
)
val_dataloader = {
    'video.classification': dict(test_loader, dataset=dict(ssv2_val, pipeline=[load, *center_crop])),
}
test_dataloader = {
    'video.classification': dict(test_loader, dataset=dict(ssv2_val, pipeline=[dict(load, num_clips=1), *three_crops])),
}
optim_wrapper.optimizer.lr = 4e-5
train_cfg.max_epochs = 22
param_scheduler[0].update(start_factor=0.025, end=5)
param_scheduler[1].update(begin=5, T_max=17)
load_from = dict(type=UniFormerV2FromCLIP, file='hf://openai/clip-vit-base-patch16/pytorch_model.bin')
