"""OmniVL finetuned for text-to-video retrieval on MSR-VTT: 7010 clips to train on, tested on the 1000 pairs of 1kA.

The 7010 clips are the official training and validation splits, so none of MSR-VTT's official test clips is among them:
the start for configs/omnivl/msrvtt_mc.py. The paper does not say which split its result is of.
Everything else, batch 128 = 16 GPUs x 8 too, as in retrieval_msrvtt_9k.py.
"""

from mmengine.config import read_base

with read_base():
    from .retrieval_msrvtt_9k import *

train_dataloader.video.dataset = dict(msrvtt_train_7k, pipeline=video_pipeline)
