"""Where the model looks for a word: cross-attention of the alignment decoder, over an image and over the frames.

The fast attention of torch does not give its weights, so the decoder is run here layer by layer, and the softmax of one
layer is computed from its queries and keys. No hooks; the model stays as it is.
"""

from collections.abc import Sequence
from typing import NamedTuple, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from omnivl.errors import OmniVLValueError
from omnivl.models.interfaces import KeyValues, Matches, serving
from omnivl.models.layers import TransformerLayer
from omnivl.models.layers.attention import CrossAttention
from omnivl.models.mode import evaluation_mode
from omnivl.models.omnivl import OmniVL
from omnivl.structures import MODALITIES, VLDataSample

from .sheets import SOFT, Line, card, contact_sheet, frame_strip

KINDS = ('attention', 'contrast', 'relevance')
# Dark blue, violet, red, orange, pale yellow: light where much is seen, readable without colour too.
HEAT = np.array([[13, 8, 60], [110, 10, 140], [205, 60, 80], [250, 150, 30], [250, 250, 150]], dtype=np.float32)


class WordAttention(NamedTuple):
    """Where a model looks for each word of a text.

    Attributes:
        words: The words.
        maps: Weight of each visual token, averaged over heads and word pieces; float32 (words, T', rows, columns).
        match: Probability that text and visual match, by the matching head.
    """

    words: list[str]
    maps: np.ndarray
    match: float


def cross_attention_weights(attention: CrossAttention, tokens: Tensor, key: Tensor) -> Tensor:
    """Compute the attention weights of a cross-attention layer, float (N, h, L, S); each row sums to 1.

    ``tokens``, float (N, L, D), go into it; ``key``, float (N, h, S, d), is from its ``project_visual``: one visual
    per text.
    """
    query = attention.query(tokens).unflatten(-1, (attention.num_heads, attention.head_width)).transpose(1, 2)
    return (query @ key.transpose(-2, -1) * attention.head_width**-0.5).softmax(dim=-1)


def apply_weights(attention: CrossAttention, weights: Tensor, value: Tensor) -> Tensor:
    """Compute what a cross-attention layer returns, float (N, L, D), given its weights, float (N, h, L, S).

    ``value``, float (N, h, S, d), is from its ``project_visual``.
    """
    return attention.proj((weights @ value).transpose(1, 2).flatten(2))


def alignment_attention(
    trunk: OmniVL,
    text_ids: Tensor,
    text_mask: Tensor,
    key_values: KeyValues,
    layer: int,
    relevance: bool = False,
) -> tuple[Tensor, Tensor]:
    """Run the alignment decoder and look into the cross-attention of one layer.

    Args:
        trunk: In evaluation mode.
        text_ids: int64 (N, L), [CLS] first.
        text_mask: bool (N, L).
        key_values: Of N visuals, one per text, from ``matching_key_values``.
        layer: Which layer; negative ones count from the last.
        relevance: Multiply each weight with the positive part of the gradient of the match logit by it.

    Returns:
        float (N, h, L, S), and the match logits, float (N, 2).

    Raises:
        OmniVLValueError: There is no such layer; or relevance is asked for at the last one, which only [ENC] leaves.
    """
    layers = cast(Sequence[TransformerLayer], trunk.alignment_decoder.layers)
    if not -len(layers) <= layer < len(layers):
        raise OmniVLValueError(f'layer must be in {-len(layers)} ... {len(layers) - 1}, got {layer}')
    index = layer % len(layers)
    if relevance and index == len(layers) - 1:
        raise OmniVLValueError(
            f"kind='relevance' has nothing to show at the last layer ({index}), where words no longer reach the match: "
            f'choose an earlier one of the {len(layers)} layers'
        )
    mask = text_mask[:, None, None, :]
    tokens = trunk.alignment_decoder.embeddings(trunk.matching_ids(text_ids))
    for block, key_value in zip(layers[:index], key_values):
        tokens, _ = block(tokens, key_value, mask=mask)
    block, (key, value) = layers[index], key_values[index]
    tokens, _ = block.self_attention(tokens, mask)
    weights = cross_attention_weights(block.cross_attention.attention, tokens, key).detach()
    with torch.set_grad_enabled(relevance):
        weights.requires_grad_(relevance)
        attended = apply_weights(block.cross_attention.attention, weights, value)
        tokens = block.feed_forward(block.cross_attention.norm(tokens + attended))
        for block, key_value in zip(layers[index + 1 :], key_values[index + 1 :]):
            tokens, _ = block(tokens, key_value, mask=mask)
        logits = trunk.matching_head(tokens[:, 0])
        if relevance:
            (gradient,) = torch.autograd.grad(logits[:, 1].sum(), weights)
            weights = weights * gradient.clamp(min=0)
    return weights.detach(), logits.detach()


def attend(
    model: nn.Module, frames: np.ndarray, text: str, modality: str, layer: int | None = None, kind: str = 'attention'
) -> WordAttention:
    """Find where a model looks for the words of a text.

    Three kinds of maps: ``'attention'`` is what the softmax gives. ``'contrast'`` is how much more a word looks there
    than the words of the text do on average, since many look at the same few places, often of the background.
    ``'relevance'`` is what counts for the match: attention times the positive part of the gradient of the match logit,
    as ALBEF (2107.07651, section 5.4) draws its pictures.

    Args:
        model: The model; it is left in the mode that it came in.
        frames: What the transforms make of the visual, uint8 (T, H, W, 3) RGB.
        text: The text.
        modality: That of the visual.
        layer: Layer of the alignment decoder; negative ones count from the last; None = :func:`usual_layer`.
        kind: ``'attention'``, ``'contrast'`` or ``'relevance'``.

    Returns:
        Words, maps and match.

    Raises:
        OmniVLValueError: The text has no word, or there is no such kind or layer.
        OmniVLTypeError: The model does not match texts and visuals.
    """
    if kind not in KINDS:
        raise OmniVLValueError(f'kind must be one of {KINDS}, got {kind!r}')
    trunk = matching_trunk(model)
    layer = usual_layer(trunk, kind) if layer is None else layer
    tokenizer = trunk.tokenizer
    ids = tokenizer.encode(text, max_length=trunk.alignment_decoder.embeddings.position.num_embeddings)
    groups = group_words([tokenizer.decode([piece]) or '[UNK]' for piece in ids[1:-1]])
    if not groups:
        raise OmniVLValueError(f'the text {text!r} has no word whose attention could be drawn')
    sample = VLDataSample(metainfo=dict(modality=modality))
    sample.text_ids = ids
    pixels = torch.from_numpy(np.array(frames.transpose(0, 3, 1, 2)))[None]
    with evaluation_mode(model):
        batch = cast(nn.Module, model.data_preprocessor)(dict(inputs={modality: pixels}, data_samples=[sample]), False)[
            'batch'
        ]
        key_values = trunk.matching_key_values(trunk.encode(batch).tokens)
        weights, logits = alignment_attention(
            trunk, batch.text_ids, batch.text_mask, key_values, layer, relevance=kind == 'relevance'
        )
    grid = token_grid(trunk, batch.frames, modality)
    mean = weights[0].mean(dim=0)[1:, 1:].float().cpu().numpy()  # without [ENC] and the [CLS] of the visual
    maps = np.stack([mean[positions].mean(axis=0).reshape(grid) for _, positions in groups])
    if kind == 'contrast':
        maps = (maps - maps.mean(axis=0)).clip(min=0)
    return WordAttention([word for word, _ in groups], maps, float(logits[0].softmax(-1)[1]))


def matching_trunk(model: nn.Module) -> OmniVL:
    """Return the trunk of a model that matches texts and visuals, or refuse the model."""
    return cast(OmniVL, serving(model, Matches, 'a picture of attention'))


def usual_layer(trunk: OmniVL, kind: str = 'attention') -> int:
    """Pick the layer two thirds of the way up (ALBEF draws 8 of 12); for relevance one whose words still matter."""
    depth = len(trunk.alignment_decoder.layers)
    layer = 2 * depth // 3
    return max(min(layer, depth - 2), 0) if kind == 'relevance' else layer


def token_grid(trunk: OmniVL, frames: Tensor, modality: str) -> tuple[int, int, int]:
    """Count positions in time, rows and columns of the visual tokens of float (B, T, 3, H, W)."""
    encoder = trunk.visual_encoder
    patch = encoder.image_tokenizer.patch_size
    time = encoder.video_tokenizer.num_positions(frames.shape[1]) if MODALITIES[modality].has_time else 1
    return time, frames.shape[-2] // patch, frames.shape[-1] // patch


def group_words(pieces: Sequence[str]) -> list[tuple[str, list[int]]]:
    """Join word pieces, as BERT writes them (``##`` before what goes on with the word before it), to words.

    Each word comes with the positions of its pieces.
    """
    words: list[tuple[str, list[int]]] = []
    for position, piece in enumerate(pieces):
        if piece.startswith('##') and words:
            word, positions = words[-1]
            words[-1] = (word + piece[2:], [*positions, position])
        else:
            words.append((piece, [position]))
    return words


def draw_heat(frames: np.ndarray, heat: np.ndarray, strength: float = 0.6) -> np.ndarray:
    """Lay a heat map over the frames; its largest value in all frames is the brightest, so frames compare.

    Args:
        frames: uint8 (T, H, W, 3) RGB.
        heat: Weights >= 0, float (T', rows, columns); each of the T' positions covers an equal part of the T frames.
        strength: How much the colour covers at most, 0 to 1.

    Returns:
        uint8 (T, H, W, 3) RGB.
    """
    low, high = float(heat.min()), float(heat.max())
    heat = (heat - low) / (high - low) if high > low else np.zeros_like(heat)
    drawn = []
    for number, frame in enumerate(frames):
        small = Image.fromarray(heat[number * len(heat) // len(frames)].astype(np.float32))
        size = (frame.shape[1], frame.shape[0])
        level = np.asarray(small.resize(size, Image.Resampling.BICUBIC)).clip(0, 1)[..., None]
        place = level * (len(HEAT) - 1)
        lower = np.minimum(place.astype(int), len(HEAT) - 2)
        colour = HEAT[lower[..., 0]] + (place - lower) * (HEAT[lower[..., 0] + 1] - HEAT[lower[..., 0]])
        grey = frame.mean(axis=2, keepdims=True)
        # Where nothing is seen, the frame is dim and pale; where much is, it shines through the colour.
        base = (0.65 + 0.35 * level) * (level * frame + (1 - level) * (0.65 * frame + 0.35 * grey))
        cover = strength * (0.15 + 0.85 * level)
        drawn.append(np.rint((1 - cover) * base + cover * colour).clip(0, 255).astype(np.uint8))
    return np.stack(drawn)


def draw_word_attention(
    model: nn.Module,
    frames: np.ndarray,
    text: str,
    modality: str,
    words: Sequence[str] | None = None,
    layer: int | None = None,
    kind: str = 'attention',
    height: int = 128,
) -> Image.Image:
    """Draw where a model looks for the words of a text.

    Args:
        model: The model.
        frames: What the transforms make of the visual, uint8 (T, H, W, 3) RGB.
        text: The text.
        modality: That of the visual.
        words: The words to draw, as the tokenizer writes them; None = all.
        layer: See :func:`attend`.
        kind: See :func:`attend`.
        height: Height of the frames in pixels.

    Returns:
        The visual, and one strip with a heat map for each word.

    Raises:
        OmniVLValueError: One of the words is not in the text.
    """
    result = attend(model, frames, text, modality, layer, kind)
    missing = sorted(set(words or ()) - set(result.words))
    if missing:
        raise OmniVLValueError(f'{missing} are not in the text, whose words are {result.words}')
    match = Line(f'match {100 * result.match:.0f} %', SOFT)
    narrow = 100
    cards = [card([frame_strip(list(frames), height)], [match], min_width=narrow)]
    for word, heat in zip(result.words, result.maps):
        if words is None or word in words:
            cards.append(card([frame_strip(list(draw_heat(frames, heat)), height)], [word], min_width=narrow))
    shown = usual_layer(matching_trunk(model), kind) if layer is None else layer
    return contact_sheet(cards, width=1100, title=f'“{text}”   ({kind} of each word, layer {shown})')
