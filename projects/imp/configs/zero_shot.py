"""A pretrained IMP-MoE-B on classes by prompts and on retrieval, without finetuning. Only tests.

Published: ImageNet 83.2, Kinetics-400 68.2, of a model pretrained on other data. Experts choose among all samples of a
batch, so figures depend on batch size and order: state both, or set model.trunk.encoder.experts.groups='sample', with
which they depend on neither (and differ from the published way).
"""

from mmengine.config import read_base

from omnivl.weights import StageReader

with read_base():
    from ....configs._base_.datasets.flickr30k import *
    from ....configs._base_.datasets.msrvtt import *
    from ._base_.models.imp_moe_base import *
    from ._base_.pretrain import *

load_from = dict(type=StageReader, file='work_dirs/pretrain_moe_base')
test_dataloader |= {
    'flickr30k.retrieval': dict(
        test_loader, batch_size=128, dataset=dict(flickr30k_test, pipeline=image_test_pipeline)
    ),
    'msrvtt.retrieval': dict(test_loader, batch_size=32, dataset=dict(msrvtt_test_1ka, pipeline=video_test_pipeline)),
}
retrieval = dict(type=RetrievalEvaluation, rerank_k=None, duplicate_captions='keep')
test_evaluator |= {'flickr30k.retrieval': retrieval, 'msrvtt.retrieval': retrieval}
train_dataloader = train_cfg = optim_wrapper = param_scheduler = None
val_dataloader = val_evaluator = val_cfg = None
