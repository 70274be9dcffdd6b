"""Evaluations of a pretrained model without finetuning: retrieval, captions and classification by prompts.

COCO's training captions are part of pretraining, so only the other sets are zero-shot in the strict sense. Re-ranking:
top 128 (Flickr30k, MSR-VTT) or 256 (COCO), scored by match logit plus similarity, as BLIP does; the paper gives
neither.
"""

from mmengine.config import read_base

from omnivl.datasets import LabelDataset, RetrievalDataset
from omnivl.datasets.annotations import BLIPCaptionJSON, ImageNetFolder, KineticsCSV
from omnivl.datasets.samplers import EpochSampler
from omnivl.evaluation import CaptionEvaluation, RetrievalEvaluation, ZeroShotEvaluation

with read_base():
    from ..pipelines.pretrain_224 import *

image_loader = dict(batch_size=64, num_workers=8, sampler=dict(type=EpochSampler, shuffle=False))
video_loader = dict(batch_size=16, num_workers=8, sampler=dict(type=EpochSampler, shuffle=False))

# Karpathy's splits in BLIP's form: 5000 images of COCO, 1000 of Flickr30k, each with all its captions.
coco_test = dict(
    type=RetrievalDataset,
    name='coco_test',
    annotations=dict(
        type=BLIPCaptionJSON, ann_file='data/coco/annotations/coco_karpathy_test.json', visual_root='data/coco/images'
    ),
    pipeline=image_test_pipeline,
)
flickr30k_test = dict(
    type=RetrievalDataset,
    name='flickr30k_test',
    annotations=dict(
        type=BLIPCaptionJSON,
        ann_file='data/flickr30k/annotations/flickr30k_test.json',
        visual_root='data/flickr30k',
    ),
    pipeline=image_test_pipeline,
)
imagenet_val = dict(
    type=LabelDataset,
    name='imagenet_val',
    annotations=dict(
        type=ImageNetFolder,
        visual_root='data/imagenet',
        split='val',
        class_names_file='data/imagenet/meta/class_names.json',
    ),
    templates='clip_image',
    pipeline=image_test_pipeline,
)
# The 1kA split in VindLU's form, [{video, caption}].
msrvtt_test = dict(
    type=RetrievalDataset,
    name='msrvtt_test',
    annotations=dict(
        type=BLIPCaptionJSON,
        ann_file='data/msrvtt/annotations/msrvtt_ret_test1k.json',
        visual_root='data/msrvtt/videos',
        visual_field='video',
        modality='video',
    ),
    pipeline=video_test_pipeline,
)
kinetics400_val = dict(
    type=LabelDataset,
    name='kinetics400_val',
    annotations=dict(
        type=KineticsCSV,
        ann_file='data/kinetics400/annotations/validate.csv',
        visual_root='data/kinetics400/val',
        split='validate',
    ),
    templates='actionclip',
    pipeline=video_test_pipeline,
)

image_test_dataloader = {
    'coco.retrieval': dict(image_loader, dataset=coco_test),
    'coco.caption': dict(image_loader, dataset=coco_test),
    'flickr30k.retrieval': dict(image_loader, dataset=flickr30k_test),
    'imagenet.zero_shot': dict(image_loader, dataset=imagenet_val),
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
    'kinetics400.zero_shot': dict(video_loader, dataset=kinetics400_val),
}
video_test_evaluator = {
    'msrvtt.retrieval': dict(type=RetrievalEvaluation, rerank_k=128),
    'msrvtt.caption': dict(type=CaptionEvaluation, max_length=20, min_length=5),
    'kinetics400.zero_shot': dict(type=ZeroShotEvaluation, templates='actionclip'),
}
