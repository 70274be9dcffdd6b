"""Hugging Face's BlipForQuestionAnswering as our model of question answering."""

import pytest
import torch
from foreign import DEC, ENC, SEP, blip, images, omnivl, original_layout, texts

from omnivl.structures import VLBatch
from omnivl.weights import load_weights


def answering(reference, vocab_file, tmp_path, share='blip', norm_eps=1e-5):
    reference.save_pretrained(tmp_path)
    model = omnivl(vocab_file, type='OmniVLQA', share=share, encoder=dict(norm_eps=norm_eps))
    (report,) = load_weights(model, dict(type='blip', file=str(tmp_path)))
    assert report.left == [] and report.unused == []
    return model


def with_first(ids, token):
    return torch.cat([torch.full_like(ids[:, :1], token), ids[:, 1:]], dim=1)


@pytest.mark.parametrize('share', ['blip', 'none'])
@pytest.mark.parametrize('seed', [0, 1])
def test_logits_of_given_answers(seed, share, vocab_file, tmp_path):
    reference = blip('vqa', seed)
    model = answering(reference, vocab_file, tmp_path, share)
    pixels, (questions, mask), (answers, real) = images(seed), texts(seed), texts(seed + 9, (5, 3, 4))
    with torch.no_grad():
        batch = VLBatch({'image': pixels[:, None]}, text_ids=questions, text_mask=mask)
        logits = model.predict_answers(answers, real, model.read_questions(batch)).logits
        # One by one without padding: Hugging Face's decoder looks at the padding of questions, whatever the mask says.
        for row, (question, answer) in enumerate(zip(with_first(questions, ENC), with_first(answers, DEC))):
            visual = reference.vision_model(pixels[row : row + 1]).last_hidden_state
            states = reference.text_encoder(question[mask[row]][None], encoder_hidden_states=visual).last_hidden_state
            expected = reference.text_decoder(answer[real[row]][None], encoder_hidden_states=states).logits[0, :-1]
            assert (logits[row, : len(expected)] - expected).abs().max() <= 1e-4


@pytest.mark.parametrize('original', [False, True])
def test_answers_by_beam_search(original, vocab_file, tmp_path):
    lengths = set()
    for seed in range(6):
        reference = blip('vqa', seed, noise=0.3, norm_eps=1e-6)
        with torch.no_grad():
            reference.text_decoder.cls.predictions.bias[SEP] += 3  # so that some answers end
        model = answering(reference, vocab_file, tmp_path, norm_eps=1e-6)
        if original:
            torch.save(dict(model=original_layout(reference)), tmp_path / 'model_vqa.pth')
            model = omnivl(vocab_file, type='OmniVLQA')
            load_weights(model, dict(type='blip', file=str(tmp_path / 'model_vqa.pth')))
        pixels, (questions, mask) = images(seed), texts(seed, (6, 6, 6))
        generated = reference.generate(
            input_ids=with_first(questions, ENC),
            attention_mask=mask.long(),
            pixel_values=pixels,
            num_beams=3,
            max_new_tokens=7,
            do_sample=False,
        )
        batch = VLBatch({'image': pixels[:, None]}, text_ids=questions, text_mask=mask)
        answers = model.generate_answers(batch, max_length=7)
        expected = [row[1:].tolist() for row in generated]
        expected = [row[: row.index(SEP)] if SEP in row else row for row in expected]
        assert [text for text, _ in answers] == [model.tokenizer.decode(row) for row in expected]
        lengths |= {len(row) for row in expected}
    assert len(lengths) > 1
