"""UniFormerV2-L/14 from CLIP on Something-Something v2, 16 frames. Published: 72.1, top-1.

Local relations in every block, more global blocks, half the frames after the stem; nothing is mirrored.
Each video of a batch is cut and augmented twice.
Batch: 256 = 16 GPUs x 8 videos x 2 views of 16 frames, 224 x 224 pixels.
Learning rate 2e-5, 22 epochs, 5 of them warm-up.
Test: 1 clip x 3 crops, softmax averaged; while training, one view.
"""

from mmengine.config import read_base

from projects.uniformerv2.weights import UniFormerV2FromCLIP

with read_base():
    from ....configs._base_.datasets.something_something import *
    from ....configs._base_.runtime import *
    from ._base_.models.classifier_large_14 import *
    from ._base_.pixels_224 import *
    from ._base_.run import *

model.num_classes = 174
model.trunk.visual_encoder.num_frames = 16
model.trunk.visual_encoder.tokenizer.update(time_kernel=3, time_stride=2)
model.trunk.visual_encoder.num_local = 2
model.trunk.visual_encoder.global_layers = tuple(range(8, 24))
model.trunk.visual_encoder.drop_path = 0.2
model.trunk.visual_encoder.global_drop_path = 0.4
model.trunk.visual_encoder.activation_checkpointing = True
load.num_frames = 16
train_loader.batch_size = 8
train_dataloader = dict(
    video=dict(train_loader, dataset=dict(ssv2_train, pipeline=[dict(load, random=True), *two_unmirrored]))
)
val_dataloader = {
    'video.classification': dict(test_loader, dataset=dict(ssv2_val, pipeline=[load, *center_crop])),
}
test_dataloader = {
    'video.classification': dict(test_loader, dataset=dict(ssv2_val, pipeline=[dict(load, num_clips=1), *three_crops])),
}
optim_wrapper.optimizer.lr = 2e-5
train_cfg.max_epochs = 22
param_scheduler[0].update(start_factor=0.05, end=5)
param_scheduler[1].update(begin=5, T_max=17)
load_from = dict(type=UniFormerV2FromCLIP, file='hf://openai/clip-vit-large-patch14/pytorch_model.bin')
