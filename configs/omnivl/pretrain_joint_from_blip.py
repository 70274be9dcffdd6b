"""OmniVL, stage 2, from BLIP's published weights (2201.12086) in the place of an image stage of one's own.

BLIP's pretraining is nearly OmniVL's image stage, without labels, and fills every part of the model; the video path
starts from its image path. Data, batch and learning rate are those of pretrain_joint.py.
Start: BLIP's pretraining, as its authors' .pth (ViT-B/16, BERT-base, 224 pixels). A folder of Hugging Face's does as
well, with visual_encoder.norm_eps=1e-5; BlipForImageTextRetrieval has all but the self-attention and the head of the
generation decoder, BlipForConditionalGeneration all but the text encoder's self-attention and the matching.
"""

from mmengine.config import read_base

from omnivl.weights import BLIPReader

with read_base():
    from .pretrain_joint import *

load_from = dict(type=BLIPReader, file='data/weights/blip_base.pth')
