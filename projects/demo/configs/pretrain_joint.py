"""Demo, stage 2: decoupled joint pretraining on the demo corpus (images first, then images and videos).

After configs/omnivl/pretrain_joint.py for two CPU cores. Starts from the image stage, whose weights also start the
video path. Data: that of stage 1, 2800 video-text pairs and 1200 labelled videos, which are drawn half again as often.
Batch 16 images / 16 clips x 1 process, alternating batch by batch.
"""

from mmengine.config import read_base

from omnivl.weights import StageReader

with read_base():
    from ._base_.budget import *
    from .pretrain_image import *

image_stage, image_lr = max_iters, optim_wrapper.optimizer.lr  # of stage 1
max_iters = 2000
budget = image_stage * image_cost + max_iters / 2 * (image_cost + video_cost)  # of both stages

train_dataloader.video = dict(
    batch_size=16,
    num_workers=1,
    # Motions are learned last. Drawn as often as captions, labels leave a pair of opposite motions as one with some
    # seeds; drawn twice as often, their sentences crowd captions out of what the model writes.
    sampler=dict(type=EpochSampler, weights=dict(demo_video_text=2, demo_video_label=3)),
    dataset=dict(
        type=MixedDataset,
        datasets=[
            dict(video_text_train, pipeline=video_pipeline),
            dict(video_label_train, pipeline=video_pipeline),
        ],
    ),
)
train_cfg = dict(type=AlternatingTrainLoop, max_iters=max_iters, proportions=dict(image=1, video=1))
param_scheduler[1].update(begin=max_iters // 2, end=max_iters)
optim_wrapper.optimizer.lr = 8e-4
default_hooks.checkpoint.interval = 250
load_from = dict(type=StageReader, file=f'{demo_work_dir}/stage1')

val_dataloader |= {
    'video.retrieval': dict(video_loader, dataset=dict(video_text['val'], pipeline=video_test_pipeline)),
    'video.caption': dict(video_loader, dataset=dict(video_text['val'], pipeline=video_test_pipeline)),
    'video.zero_shot': dict(video_loader, dataset=dict(video_label['val'], pipeline=video_test_pipeline)),
}
val_evaluator |= {
    'video.retrieval': retrieval,
    'video.caption': caption,
    'video.zero_shot': dict(type=ZeroShotEvaluation, templates=video_templates),
}
