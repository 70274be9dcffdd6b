"""VATT at the size of a laptop's CPU: clips of 8 frames of 64 pixels, 2 s of sound at 8 kHz, a caption of 32 pieces.

Patches are those of the paper, 4 x 16 x 16 and 128 samples. Words are word pieces of the demo, whose embeddings are
trained, as there are none of word2vec; no dropout, since a few hundred steps fit little too well. The transformers
are alike and have projections at both ends, so that ``trunk.shared=True`` changes nothing else.
"""

from mmengine.config import read_base

from omnivl.models.tokenizers import WordPieceTokenizer
from projects.vatt.data import CandidatePreprocessor
from projects.vatt.model import VATT, VATTAudioEncoder, VATTPretrain, VATTTextEncoder, VATTVideoEncoder

with read_base():
    from .....demo.configs._base_.datasets.paths import *

tiny = dict(width=128, depth=3, num_heads=4, mlp_ratio=2.0, dropout=0.0)
encoder = dict(backbone=tiny, projected=128, dropout=0.0)
trunk = dict(
    type=VATT,
    tokenizer=dict(type=WordPieceTokenizer, vocab_file=vocab_file),
    visual_encoder=dict(type=VATTVideoEncoder, image_size=64, num_frames=8, drop_token=0.5, **encoder),
    audio_encoder=dict(type=VATTAudioEncoder, grid=(125,), drop_token=0.5, **encoder),
    text_encoder=dict(
        type=VATTTextEncoder, vocab_size=128, max_length=32, embed_width=64, train_embeddings=True, **encoder
    ),
    bridge=dict(fine_width=128, coarse_width=64),
)
model = dict(type=VATTPretrain, trunk=trunk, data_preprocessor=dict(type=CandidatePreprocessor, num_texts=5))
