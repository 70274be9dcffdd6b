"""The evaluations of pretraining on the demo corpus: zero-shot retrieval, captions and zero-shot classification."""

from mmengine.config import read_base

from omnivl.datasets.samplers import EpochSampler
from omnivl.evaluation import CaptionEvaluation, ZeroShotEvaluation

with read_base():
    from ..pipelines.pixels_64 import *
    from ..schedules.test import *
    from .pretrain import *

image_loader = dict(batch_size=50, num_workers=0, sampler=dict(type=EpochSampler, shuffle=False))
video_loader = dict(batch_size=25, num_workers=0, sampler=dict(type=EpochSampler, shuffle=False))
caption = dict(type=CaptionEvaluation, slots=f'{data_root}/annotations/slots.json', max_length=20)

test_dataloader = {
    'image.retrieval': dict(image_loader, dataset=dict(image_text['test'], pipeline=image_test_pipeline)),
    'image.retrieval_unseen': dict(image_loader, dataset=dict(image_text['test_unseen'], pipeline=image_test_pipeline)),
    'image.caption': dict(image_loader, dataset=dict(image_text['test'], pipeline=image_test_pipeline)),
    'image.caption_unseen': dict(image_loader, dataset=dict(image_text['test_unseen'], pipeline=image_test_pipeline)),
    'image.zero_shot': dict(image_loader, dataset=dict(image_label['test'], pipeline=image_test_pipeline)),
    'video.retrieval': dict(video_loader, dataset=dict(video_text['test'], pipeline=video_test_pipeline)),
    'video.retrieval_unseen': dict(video_loader, dataset=dict(video_text['test_unseen'], pipeline=video_test_pipeline)),
    'video.caption': dict(video_loader, dataset=dict(video_text['test'], pipeline=video_test_pipeline)),
    'video.caption_unseen': dict(video_loader, dataset=dict(video_text['test_unseen'], pipeline=video_test_pipeline)),
    'video.zero_shot': dict(video_loader, dataset=dict(video_label['test'], pipeline=video_test_pipeline)),
}
test_evaluator = {
    'image.retrieval': retrieval,
    'image.retrieval_unseen': retrieval,
    'image.caption': caption,
    'image.caption_unseen': caption,
    'image.zero_shot': dict(type=ZeroShotEvaluation, templates=image_templates),
    'video.retrieval': retrieval,
    'video.retrieval_unseen': retrieval,
    'video.caption': caption,
    'video.caption_unseen': caption,
    'video.zero_shot': dict(type=ZeroShotEvaluation, templates=video_templates),
}
