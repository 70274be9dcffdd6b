"""Demo: a tiny IMP on images, videos, their labels and texts of the demo corpus; one task a step.

After pretrain_base.py for a CPU core: 400 steps. Data as projects/demo/configs/pretrain_joint.py: 6000 image-text
pairs, 2000 labelled images, 2800 video-text pairs and 1200 labelled videos. Batch 16 x 1 process; labelled data has
both losses. A quarter of the tokens of clips with texts is dropped. Equal texts are positives of each other, as a label
is one of a few.
"""

from mmengine.config import read_base

from omnivl.evaluation import RetrievalEvaluation

with read_base():
    from ...demo.configs.pretrain_image import *
    from ._base_.models.imp_tiny import *

loader = dict(batch_size=16, num_workers=1, sampler=dict(type=EpochSampler))
train_dataloader = dict(
    image_text=dict(loader, losses=('contrast',), dataset=dict(image_text_train, pipeline=image_pipeline)),
    image_label=dict(loader, losses=('contrast', 'class'), dataset=dict(image_label_train, pipeline=image_pipeline)),
    video_text=dict(loader, losses=('contrast',), dataset=dict(video_text_train, pipeline=video_pipeline)),
    video_label=dict(loader, losses=('contrast', 'class'), dataset=dict(video_label_train, pipeline=video_pipeline)),
)
tasks = dict(
    image_text=dict(),
    image_label=dict(classes=image_label_train.annotations, prompt=image_templates[0]),
    video_text=dict(drop=dict(visual=0.25)),
    video_label=dict(classes=video_label_train.annotations, prompt=video_templates[0]),
)
model = dict(type=IMPPretrain, trunk=trunk, tasks=tasks, use_labels=True)

max_iters, warmup = 400, 40
train_cfg = dict(
    type=AlternatingTrainLoop,
    max_iters=max_iters,
    proportions=dict(image_text=2, image_label=1, video_text=2, video_label=1),
)
# At the 1e-3 of the demo's other models all vectors become one within 200 steps, and stay so.
optim_wrapper.optimizer.lr = 3e-4
param_scheduler[0].end = warmup
param_scheduler[1].update(begin=max_iters // 2, end=max_iters)
default_hooks = dict(logger=dict(interval=50), checkpoint=dict(interval=max_iters, max_keep_ckpts=1))

val_dataloader = val_evaluator = val_cfg = None
retrieval = dict(type=RetrievalEvaluation, rerank_k=None)
test_dataloader = {
    'image.retrieval': dict(image_loader, dataset=dict(image_text['test'], pipeline=image_test_pipeline)),
    'image.zero_shot': dict(image_loader, dataset=dict(image_label['test'], pipeline=image_test_pipeline)),
    'video.retrieval': dict(video_loader, dataset=dict(video_text['test'], pipeline=video_test_pipeline)),
    'video.zero_shot': dict(video_loader, dataset=dict(video_label['test'], pipeline=video_test_pipeline)),
}
test_evaluator = {
    'image.retrieval': retrieval,
    'image.zero_shot': dict(type=ZeroShotEvaluation, templates=image_templates),
    'video.retrieval': retrieval,
    'video.zero_shot': dict(type=ZeroShotEvaluation, templates=video_templates),
}
