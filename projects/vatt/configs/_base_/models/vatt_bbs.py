"""VATT-BBS (2104.11178): video and audio transformers of ViT-Base's size, 12 x 768, and T5's small text encoder.

The sizes are the published code's: 32 frames of 224 pixels in patches of 4 x 16 x 16, 3.2 s at 48 kHz in patches of 128
samples, 16 words of 2 ** 16 whose word2vec embeddings of 300 numbers are not trained.
"""

from projects.vatt.data import CandidatePreprocessor, WordTokenizer
from projects.vatt.model import VATT, VATTAudioEncoder, VATTPretrain, VATTT5Encoder, VATTVideoEncoder

base = dict(width=768, depth=12, num_heads=12, mlp_ratio=4.0)
trunk = dict(
    type=VATT,
    tokenizer=dict(type=WordTokenizer, vocab_file='data/vatt/words.txt'),
    visual_encoder=dict(type=VATTVideoEncoder, image_size=224, num_frames=32, drop_token=0.5, backbone=base),
    audio_encoder=dict(type=VATTAudioEncoder, grid=(1200,), drop_token=0.5, backbone=base),
    text_encoder=dict(type=VATTT5Encoder, vocab_size=2**16, width=512, depth=6, num_heads=8, max_length=16),
    bridge=dict(fine_width=512, coarse_width=256),
    temperature=0.07,
)
model = dict(
    type=VATTPretrain,
    trunk=trunk,
    video_audio_weight=1.0,
    video_text_weight=1.0,
    data_preprocessor=dict(type=CandidatePreprocessor, num_texts=5, mean=[0.5] * 3, std=[0.5] * 3),
)
