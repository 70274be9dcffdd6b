"""OmniVL, stage 2: decoupled joint pretraining on images and videos (2209.07526, sections 3.3 and 4).

Data: that of stage 1, 2.5M video-text pairs (WebVid) and Kinetics-400 with its labels.
Batch: alternating 2880 images = 64 GPUs x 45 and 800 videos = 64 GPUs x 12.5; 12 make 768, or take 32 GPUs: 90 and 25.
Clips: 8 frames of 224 x 224. 10 epochs of the images (the paper: 10 epochs), learning rate 8e-5, otherwise as stage 1.
Budget, with stage 1: configs/_base_/budget.py, where the other paradigms are beside it.
Start: stage 1, whose image path also starts the video path.
"""

from mmengine.config import read_base

from omnivl.weights import StageReader

with read_base():
    from .._base_.datasets.kinetics400 import *
    from .._base_.datasets.webvid import *
    from .pretrain_image import *

train_dataloader.video = dict(
    batch_size=12,
    num_workers=12,
    pin_memory=True,
    sampler=dict(type=EpochSampler),
    dataset=dict(
        type=MixedDataset,
        datasets=[
            dict(webvid_train, pipeline=video_pipeline),
            dict(kinetics400_train, pipeline=video_pipeline),
        ],
    ),
)
train_cfg = dict(
    type=AlternatingTrainLoop, max_epochs=10, epoch_by='image', proportions=dict(image=1, video=1), val_interval=5
)
optim_wrapper.optimizer.lr = 8e-5
param_scheduler = [
    dict(type=LinearLR, start_factor=1e-6 / 8e-5, by_epoch=False, end=3000),
    dict(type=ExponentialLR, gamma=0.85, by_epoch=True),
]
val_dataloader = test_dataloader = {**image_test_dataloader, **video_test_dataloader}
val_evaluator = test_evaluator = {**image_test_evaluator, **video_test_evaluator}
load_from = dict(type=StageReader, file='work_dirs/pretrain_image')
