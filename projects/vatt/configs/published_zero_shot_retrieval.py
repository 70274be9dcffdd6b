"""The published VATT-MBS on text-video retrieval, as zero_shot_retrieval.py; published figures are there."""

from mmengine.config import read_base

from projects.vatt.weights import VATTReader

with read_base():
    from .zero_shot_retrieval import *

load_from = dict(type=VATTReader, file='data/vatt/pretrain/tx_fac_mbs/ckpt-500000.index')
