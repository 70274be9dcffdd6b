"""IMP-B, dense (2305.06324): 12 layers of 768, 12 heads, as in google-research's imp/max.

Published: patches of 4 x 16 x 16 pixels; a spectrogram of 128 bins (windows of 2048 samples at 16 kHz, a step of 1024)
in patches of 16 x 16; tables of positions for 64 frames of 512 x 512, 1024 windows and 4096 tokens of text; a space of
1024 for each pair of modalities; temperature 0.2. The published vocabulary is T5's, with 32,100 ids; the embeddings are
of its size, the word pieces BERT's 30,524, since T5 has no token that begins a text. Scales of the mel filters and what
is added before the logarithm are those of ``LogMel``.
"""

from omnivl.models.tokenizers import SpectrogramTokenizer, WordPieceTokenizer
from projects.imp.model import IMP, AudioEmbedding, IMPPretrain, SharedEncoder, TextEmbedding, VisualEmbedding

trunk = dict(
    type=IMP,
    tokenizer=dict(type=WordPieceTokenizer, vocab_file='data/bert-base-uncased/vocab.txt'),
    encoder=dict(type=SharedEncoder, width=768, depth=12, num_heads=12, mlp_ratio=4.0, activation_checkpointing=True),
    visual_encoder=dict(type=VisualEmbedding, patch_size=(4, 16, 16), grid=(16, 32, 32), image_size=256),
    text_encoder=dict(type=TextEmbedding, vocab_size=32100, max_length=4096),
    audio_encoder=dict(
        type=AudioEmbedding,
        tokenizer=dict(
            type=SpectrogramTokenizer,
            patch_size=(16, 16),
            log_mel=dict(rate=16000, bins=128, frame_length=2048, hop_length=1024),
        ),
        grid=(64, 8),
    ),
    embed_dim=1024,
    common_space='disjoint',
    temperature=0.2,
)
model = dict(type=IMPPretrain, trunk=trunk)
