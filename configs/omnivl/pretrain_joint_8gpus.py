"""Stage 2 on eight GPUs of 80 GB: the paper's batches without accumulation.

Batch: alternating 2880 images = 8 GPUs x 360 and 800 videos = 8 GPUs x 100. All blocks are computed again in the
backward pass, for a fifth more operations: by omnivl plan a card holds 18 GiB in an image step and 29 GiB in a video
step ('selective' would take 69). Otherwise pretrain_joint.py.
"""

from mmengine.config import read_base

with read_base():
    from .pretrain_joint import *

train_dataloader.image.batch_size = 360
train_dataloader.video.batch_size = 100
trunk.visual_encoder.activation_checkpointing = True
trunk.text_encoder.activation_checkpointing = True
trunk.alignment_decoder.activation_checkpointing = True
trunk.generation_decoder.activation_checkpointing = True
model.trunk = trunk
