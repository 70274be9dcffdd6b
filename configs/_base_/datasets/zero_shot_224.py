"""Evaluations of a pretrained model without finetuning: retrieval, captions and classification by prompts.

COCO's training captions are part of pretraining, so only the other sets are zero-shot in the strict sense. Re-ranking:
top 128 (Flickr30k, MSR-VTT) or 256 (COCO), scored by match logit plus similarity, as BLIP does; the paper gives
neither.
"""

from mmengine.config import read_base

from omnivl.datasets.samplers import EpochSampler
from omnivl.evaluation import CaptionEvaluation, RetrievalEvaluation, ZeroShotEvaluation

with read_base():
    from ..pipelines.pretrain_224 import *
    from .coco_retrieval import *
    from .flickr30k import *
    from .imagenet import *
    from .kinetics400 import *
    from .msrvtt import *

image_loader = dict(batch_size=64, num_workers=8, sampler=dict(type=EpochSampler, shuffle=False))
video_loader = dict(batch_size=16, num_workers=8, sampler=dict(type=EpochSampler, shuffle=False))

coco_test = dict(coco_retrieval_test, pipeline=image_test_pipeline)
msrvtt_test = dict(msrvtt_test_1ka, pipeline=video_test_pipeline)
imagenet_prompts = dict(imagenet_test, templates='clip_image', pipeline=image_test_pipeline)
kinetics400_prompts = dict(kinetics400_test, templates='actionclip', pipeline=video_test_pipeline)

image_test_dataloader = {
    'coco.retrieval': dict(image_loader, dataset=coco_test),
    'coco.caption': dict(image_loader, dataset=coco_test),
    'flickr30k.retrieval': dict(image_loader, dataset=dict(flickr30k_test, pipeline=image_test_pipeline)),
    'imagenet.zero_shot': dict(image_loader, dataset=imagenet_prompts),
}
image_test_evaluator = {
    'coco.retrieval': dict(type=RetrievalEvaluation, rerank_k=256),
    'coco.caption': dict(type=CaptionEvaluation, max_length=20, min_length=5),
    'flickr30k.retrieval': dict(type=RetrievalEvaluation, rerank_k=128),
    'imagenet.zero_shot': dict(type=ZeroShotEvaluation, templates='clip_image'),
}
video_test_dataloader = {
    'msrvtt.retrieval': dict(video_loader, dataset=msrvtt_test),
    'msrvtt.caption': dict(video_loader, dataset=msrvtt_test),
    'kinetics400.zero_shot': dict(video_loader, dataset=kinetics400_prompts),
}
video_test_evaluator = {
    'msrvtt.retrieval': dict(type=RetrievalEvaluation, rerank_k=128),
    'msrvtt.caption': dict(type=CaptionEvaluation, max_length=20, min_length=5),
    'kinetics400.zero_shot': dict(type=ZeroShotEvaluation, templates='actionclip'),
}
