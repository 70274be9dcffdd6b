"""Captioning: the generation decoder looks at the visual and writes, behind a prompt (as BLIP, 2201.12086)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from omnivl.errors import OmniVLValueError
from omnivl.registry import MODELS
from omnivl.structures import VLBatch, VLDataSample

from .decoders.generation import packed_decoders
from .generation import GenerationOutput, beam_search, greedy, nucleus
from .layers.attention import VisualKeyValues
from .losses import LanguageLoss
from .omnivl import OmniVL

# Ways of writing, and the options of each.
METHODS: dict[str, tuple[Callable[..., GenerationOutput], frozenset[str]]] = {
    'greedy': (greedy, frozenset({'repetition_penalty'})),
    'beam': (beam_search, frozenset({'num_beams', 'length_penalty', 'repetition_penalty'})),
    'nucleus': (nucleus, frozenset({'top_p', 'temperature', 'repetition_penalty', 'seed'})),
}
NO_LIMIT = 10_000  # word pieces


def prompt_pieces(tokenizer: Any, prompt: str) -> list[int]:
    """The word pieces of a prompt, without [CLS] and [SEP]."""
    return [int(piece) for piece in tokenizer.encode(prompt, NO_LIMIT)[1:-1]] if prompt else []


def write_captions(
    model: OmniVL,
    visual_tokens: Tensor,
    methods: Mapping[str, Mapping[str, Any]],
    prompt: str = '',
    max_length: int = 20,
    min_length: int = 0,
    generators: Mapping[str, torch.Generator] | None = None,
) -> dict[str, list[tuple[str, float]]]:
    """Write a caption for each visual with each method; keys and values of the visuals are made once.

    Args:
        model: Any model that has the trunk's generation decoder.
        visual_tokens: From ``encode_visual``, float (B, S, D).
        methods: Name -> options, see ``METHODS``; ``seed`` is left to ``generators``.
        prompt: Words that captions begin with; given, not generated, and not part of the caption.
        max_length: Most word pieces to generate, the closing one included.
        min_length: Word pieces before a caption may end.
        generators: Source of the draws, by method.

    Returns:
        Method -> the B captions, each with its score, see ``GenerationOutput``.
    """
    tokenizer = model.tokenizer
    key_values = model.visual_key_values(visual_tokens, decoders=('generation',))
    start = [tokenizer.decoder_id, *prompt_pieces(tokenizer, prompt)]
    starts = torch.tensor([start] * len(visual_tokens), device=visual_tokens.device)

    def step(ids: Tensor, cache: Any) -> tuple[Tensor, Any]:
        return model.decoder_step(ids, cache, key_values)

    written = {}
    with packed_decoders(model):
        for method, options in methods.items():
            options = {option: value for option, value in options.items() if option != 'seed'}
            if generators and method in generators:
                options['generator'] = generators[method]
            output = METHODS[method][0](
                step, model.reorder_cache, starts, end_id=tokenizer.sep_id, pad_id=tokenizer.pad_id,
                max_length=max_length, min_length=min_length, **options,
            )  # fmt: skip
            written[method] = list(zip(map(tokenizer.decode, output.ids), output.scores.tolist()))
    return written


@MODELS.register_module()
class OmniVLCaption(OmniVL):
    """The trunk as a model that describes images and videos: language modelling alone, behind a prompt.

    Only the visual encoder and the generation decoder learn. What else pretraining had is kept, so that the weights
    remain those of a whole OmniVL, but stands still; with ``share='blip'`` what the decoders have in common learns.

    Args:
        prompt: Words that every caption begins with ('a picture of' in BLIP). Put before the captions here and nowhere
            else, left out of the loss as in BLIP, and what evaluations and inferencer begin with unless told otherwise.
        label_smoothing: Probability mass spread over the vocabulary (0.1 in BLIP).
        **trunk: Arguments of ``OmniVL``.
    """

    def __init__(self, prompt: str = '', label_smoothing: float = 0.1, **trunk) -> None:
        super().__init__(**trunk)
        self.prompt = prompt
        self.language_loss = LanguageLoss(label_smoothing)
        trained = {id(p) for part in (self.visual_encoder, self.generation_decoder) for p in part.parameters()}
        for parameter in self.parameters():
            if id(parameter) not in trained:
                parameter.requires_grad_(False)

    def language_logits(
        self, text_ids: Tensor, text_mask: Tensor, key_values: VisualKeyValues, ignore_id: int = -100
    ) -> tuple[Tensor, Tensor]:
        """Predict each caption, int64 (B, L), from its visual and the P word pieces of the prompt.

        Arguments as ``OmniVL.language_logits``.

        Returns:
            Logits, float (B, P + L - 1, V), and what to predict, int64 (B, P + L - 1), ``ignore_id`` for the prompt.
        """
        prompt = text_ids.new_tensor(prompt_pieces(self.tokenizer, self.prompt)).expand(len(text_ids), -1)  # (B, P)
        text_ids = torch.cat([text_ids[:, :1], prompt, text_ids[:, 1:]], dim=1)
        text_mask = torch.cat([text_mask[:, :1], torch.ones_like(prompt, dtype=torch.bool), text_mask[:, 1:]], dim=1)
        logits, targets = super().language_logits(text_ids, text_mask, key_values, ignore_id)
        targets[:, : prompt.shape[1]] = ignore_id
        return logits, targets

    def loss(self, batch: VLBatch) -> dict[str, Tensor]:
        """Compute ``loss_lm``, the mean over the word pieces of the captions, their end included.

        Raises:
            OmniVLValueError: The batch has no captions.
        """
        if batch.text_ids is None:
            raise OmniVLValueError(
                'captioning needs a text for every visual: use PairDataset, and TokenizeText in its pipeline'
            )
        visual = self.encode_visual(batch.frames, batch.modality)
        key_values = self.visual_key_values(visual.tokens, decoders=('generation',))
        return dict(loss_lm=self.language_loss(*self.language_logits(batch.text_ids, batch.text_mask, key_values)))

    @torch.no_grad()
    def predict(self, batch: VLBatch, data_samples: Sequence[VLDataSample]) -> list[VLDataSample]:
        """Put the caption of a beam search with 3 beams, and its score, into the samples.

        The fields are ``pred_caption`` and ``pred_score``.
        """
        tokens = self.encode_visual(batch.frames, batch.modality).tokens
        written = write_captions(self, tokens, dict(beam=dict(num_beams=3)), self.prompt)['beam']
        for sample, (caption, score) in zip(data_samples, written):
            sample.set_field(caption, 'pred_caption')
            sample.set_field(score, 'pred_score')
        return list(data_samples)
