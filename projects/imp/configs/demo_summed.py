"""Demo: as ``demo_pretrain.py``, with all four tasks in every step, each with a share of the batch; losses are added.

A step costs what one of the alternation costs on average: of six steps there two are of either task of captions and one
of either task of labels, 16 samples each; here every step has 5, 3, 5 and 3 of them.
"""

from mmengine.config import read_base

from projects.imp.summed import SummedIMPPretrain, SummedPreprocessor, SummedStream

with read_base():
    from .demo_pretrain import *

train_dataloader = dict(
    all=dict(
        type=SummedStream,
        tasks=dict(
            image_text=dict(train_dataloader['image_text'], batch_size=5),
            image_label=dict(train_dataloader['image_label'], batch_size=3),
            video_text=dict(train_dataloader['video_text'], batch_size=5),
            video_label=dict(train_dataloader['video_label'], batch_size=3),
        ),
    )
)
model.update(type=SummedIMPPretrain, data_preprocessor=dict(type=SummedPreprocessor))
train_cfg = dict(type=AlternatingTrainLoop, max_iters=max_iters)
