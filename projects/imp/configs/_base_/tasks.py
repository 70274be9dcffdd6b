"""The tasks of IMP's pretraining, with their batches, shares, dropped tokens and losses.

Published (google-research's imp/max, whose names of data sets stand for nothing): batches of 8192, where videos or
sounds are classified 2048; of clips with texts three quarters of the tokens are dropped; a loader is drawn at every
first, twelfth, fifth or eighth step, so shares are one over these. Here a step is one task, as the paper has it. Sizes
are of one of 64 GPUs; on R GPUs set batch_size to 8192 / R and 2048 / R. The contrast sees the batch of all GPUs.
Ours: the data sets; that labelled data has both losses, since the paper found that better (the code classifies alone),
and that images of one class are no negatives of each other.
"""

from mmengine.config import read_base

from omnivl.datasets import MixedDataset
from omnivl.datasets.samplers import EpochSampler

with read_base():
    from .....configs._base_.datasets.imagenet import *
    from .....configs._base_.datasets.kinetics400 import *
    from .....configs._base_.datasets.web_images import *
    from .....configs._base_.datasets.webvid import *
    from .datasets.sounds import *
    from .pixels_256 import *

loader = dict(num_workers=12, pin_memory=True, sampler=dict(type=EpochSampler))
train_dataloader = dict(
    image_text=dict(
        loader,
        batch_size=128,
        losses=('contrast',),
        dataset=dict(
            type=MixedDataset,
            datasets=[dict(cc3m_train, pipeline=image_pipeline), dict(cc12m_train, pipeline=image_pipeline)],
        ),
    ),
    image_label=dict(
        loader,
        batch_size=128,
        losses=('contrast', 'class'),
        dataset=dict(imagenet_train, pipeline=image_label_pipeline),
    ),
    video_text=dict(loader, batch_size=128, losses=('contrast',), dataset=dict(webvid_train, pipeline=video_pipeline)),
    video_label=dict(
        loader,
        batch_size=32,
        losses=('contrast', 'class'),
        dataset=dict(kinetics400_train, pipeline=video_label_pipeline),
    ),
    video_audio_text=dict(
        loader, batch_size=128, losses=('contrast',), dataset=dict(howto100m_train, pipeline=video_audio_pipeline)
    ),
    audio_label=dict(
        loader, batch_size=32, losses=('class',), dataset=dict(audioset_train, pipeline=audio_label_pipeline)
    ),
)
proportions = dict(
    image_text=1, image_label=1, video_text=1 / 12, video_label=1 / 5, video_audio_text=1 / 12, audio_label=1 / 8
)
tasks = dict(
    image_text=dict(),
    image_label=dict(classes=imagenet_train.annotations, prompt='a photo of a {}'),
    video_text=dict(drop=dict(visual=0.75)),
    video_label=dict(classes=kinetics400_train.annotations, prompt='a video of {}'),
    video_audio_text=dict(drop=dict(visual=0.75)),
    audio_label=dict(classes=audioset_train.annotations, prompt='the sound of {}'),
)
