"""Finetuning captions from BLIP's weights: the loss behind a prompt is that of Hugging Face's model."""

import pytest
import torch
from foreign import CLS, DEC, SEP, blip, images, omnivl, texts

from omnivl.structures import VLBatch
from omnivl.weights import load_weights


@pytest.mark.parametrize('prompt', [[], [7, 5, 9]])
def test_loss_behind_a_prompt(prompt, vocab_file, tmp_path):
    reference = blip('caption', 0)
    reference.save_pretrained(tmp_path)
    model = omnivl(
        vocab_file, encoder=dict(norm_eps=1e-5), type='OmniVLCaption', label_smoothing=0.0,
        prompt=' '.join(f'w{piece - 5}' for piece in prompt),
    )  # fmt: skip
    load_weights(model, dict(type='blip', file=str(tmp_path)))
    pixels, (ids, mask) = images(0), texts(0)
    # As BLIP's code lays it out: [DEC] in the place of [CLS], the words of the prompt, those of the caption, [SEP].
    whole = torch.cat([torch.full_like(ids[:, :1], DEC), torch.tensor([prompt] * 3, dtype=torch.int64), ids[:, 1:]], 1)
    real = torch.cat([torch.ones(3, 1 + len(prompt), dtype=torch.bool), mask[:, 1:]], 1)
    labels = whole.masked_fill(~real, -100)
    labels[:, : 1 + len(prompt)] = -100
    assert (ids[:, 0] == CLS).all() and (labels == SEP).sum() == 3
    with torch.no_grad():
        expected = reference(pixel_values=pixels, input_ids=whole, attention_mask=real.long(), labels=labels).loss
        got = model.loss(VLBatch({'image': pixels[:, None]}, text_ids=ids, text_mask=mask))['loss_lm']
    assert torch.allclose(got, expected, atol=1e-5)
