"""Demo: a tiny CoCa on the pictures of the demo corpus, with both losses.

After pretrain.py for a CPU core: 800 steps, two or three minutes. Data as projects/demo/configs/pretrain_image.py: 6000
image-text pairs, and 2000 labelled images as prompts. Batch 16 x 1 process. Weights 1 and 2 of the losses are the
paper's. Differs: a label is one of four, so equal texts are positives of each other (``use_labels``); without it much
of the contrast among labelled images would be between equals. ``projects/coca/tools/study.py`` compares this with one
loss alone (demo_contrast.py, demo_captions.py) and with a single pooler.
"""

from mmengine.config import read_base

from omnivl.evaluation import RetrievalEvaluation, ZeroShotEvaluation

with read_base():
    from ...demo.configs.pretrain_image import *
    from ._base_.models.coca_tiny import *

model = dict(type=CoCaPretrain, trunk=trunk, contrastive_weight=1.0, caption_weight=2.0, use_labels=True)

max_iters = 800
train_cfg = dict(type=AlternatingTrainLoop, max_iters=max_iters)
param_scheduler = [
    dict(type=LinearLR, start_factor=0.01, by_epoch=False, end=35),
    dict(type=LinearLR, start_factor=1.0, end_factor=0.0, by_epoch=False, begin=max_iters // 2, end=max_iters),
]
default_hooks = dict(logger=dict(interval=50), checkpoint=dict(interval=max_iters, max_keep_ckpts=1))

val_dataloader = val_evaluator = val_cfg = None
test_dataloader = {
    'image.retrieval': dict(image_loader, dataset=dict(image_text['test'], pipeline=image_test_pipeline)),
    'image.caption': dict(image_loader, dataset=dict(image_text['test'], pipeline=image_test_pipeline)),
    'image.zero_shot': dict(image_loader, dataset=dict(image_label['test'], pipeline=image_test_pipeline)),
}
test_evaluator = {
    'image.retrieval': dict(type=RetrievalEvaluation, rerank_k=None),
    'image.caption': dict(caption, methods=dict(greedy={})),
    'image.zero_shot': dict(type=ZeroShotEvaluation, templates=image_templates),
}
