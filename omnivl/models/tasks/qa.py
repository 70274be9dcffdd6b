"""Question answering: the question looks at the visual, the answer at the question (BLIP, 2201.12086, figure 5)."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from torch import Tensor

from omnivl.errors import OmniVLValueError
from omnivl.registry import MODELS
from omnivl.structures import VLBatch, VLDataSample

from .data_preprocessor import pad_text
from .decoders import share_like_blip
from .decoders.generation import Cache
from .distributed import mean_over_ranks
from .generation import beam_search, greedy
from .layers.attention import KeyValue, VisualKeyValues
from .omnivl import SHARING, OmniVL

QuestionKeyValues = tuple[list[KeyValue], Tensor]
IGNORED = -100
# What pretraining needs and answering does not. Kept, so that the weights remain those of a whole OmniVL, but still.
NOT_TRAINED = ('visual_proj', 'text_proj', 'matching_head')
METHODS = ('beam', 'greedy')


def answer_losses(logits: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Cross-entropy of each answer, summed over its word pieces; arguments as ``answer_loss``, float32 (A,)."""
    losses = F.cross_entropy(
        logits.float().flatten(0, 1),
        targets.flatten(),
        ignore_index=IGNORED,
        label_smoothing=label_smoothing,
        reduction='none',
    )
    return losses.view(targets.shape).sum(dim=1)


def answer_loss(logits: Tensor, targets: Tensor, weights: Tensor, questions: int, label_smoothing: float) -> Tensor:
    """Cross-entropy summed over the word pieces of an answer, weighted, summed over answers, per question.

    As in BLIP's code (``models/blip_vqa.py``; label smoothing 0.1 in its ``models/med.py``): a long answer counts more
    than a short one, and the weights of the answers to one question need not add up to 1.

    Args:
        logits: float (A, L, V); position i holds the prediction for ``targets[:, i]`` (already shifted).
        targets: int64 (A, L); -100 where there is nothing to predict.
        weights: float (A,).
        questions: Number of questions B on this rank.
        label_smoothing: Probability mass spread over the vocabulary.

    Returns:
        Scalar, float32; averaged over ranks it is that of their joined batch.
    """
    losses = answer_losses(logits, targets, label_smoothing)
    count = torch.tensor(float(questions), device=logits.device)
    return (weights * losses).sum() / mean_over_ranks(count)


@MODELS.register_module()
class OmniVLQA(OmniVL):
    """The trunk as a model that answers questions about images and videos.

    The alignment decoder reads the question, [ENC] first, over the visual; the generation decoder reads what it makes
    of every word of the question, in the place of visual tokens, and writes the answer. OmniVL names this way of
    answering (2209.07526, section 3.1); how is BLIP's.

    Its two decoders share nothing, as BLIP's do not here; ``share='blip'`` only lets text encoder and alignment decoder
    be one. Padding of questions is never looked at; BLIP looks at it when it writes freely, so that there an answer
    depends on the other questions of the batch.

    Args:
        label_smoothing: See ``answer_loss``.
        share: ``'blip'`` or ``'none'``, see above.
        **trunk: Other arguments of ``OmniVL``.
    """

    def __init__(self, label_smoothing: float = 0.1, share: str = 'blip', **trunk) -> None:
        super().__init__(share='none', **trunk)
        if share not in SHARING:
            raise OmniVLValueError(f'share must be one of {SHARING}, got {share!r} (set model.share)')
        if not 0 <= label_smoothing < 1:
            raise OmniVLValueError(f'label_smoothing must be in [0, 1), got {label_smoothing}')
        if share == 'blip':
            share_like_blip(self.text_encoder, self.alignment_decoder)
        if self.visual_encoder.width != self.text_encoder.width:  # its keys come from the question
            width = self.alignment_decoder.embeddings.word.embedding_dim
            self.generation_decoder = MODELS.build(dict(trunk['generation_decoder'], visual_width=width))
        self.label_smoothing = label_smoothing
        for name in NOT_TRAINED:
            getattr(self, name).requires_grad_(False)

    def adapt_state_dict(self, state_dict: dict[str, Tensor]) -> None:
        """Fit weights about to be loaded; cross-attention made for visual tokens of another width starts anew."""
        super().adapt_state_dict(state_dict)
        own = self.state_dict()
        for key in [key for key in state_dict if '.cross_attention.attention.key_value.' in key]:
            if key.startswith('generation_decoder.') and state_dict[key].shape != own[key].shape:
                print_log(f'{key}: left at its initial value, as answers look at questions here', 'current')
                del state_dict[key]

    def visual_key_values(self, visual_tokens: Tensor, decoders: Sequence[str] = ('alignment',)) -> VisualKeyValues:
        """Make what the alignment decoder looks up in visual tokens (B, S, D); see ``OmniVL.visual_key_values``.

        Raises:
            OmniVLValueError: The generation decoder is asked for, which looks at questions here.
        """
        if 'generation' in decoders:
            raise OmniVLValueError(
                'the generation decoder of OmniVLQA looks at questions, not at visuals: it writes answers, not captions'
            )
        return super().visual_key_values(visual_tokens, decoders)

    def question_states(self, batch: VLBatch) -> tuple[Tensor, Tensor]:
        """Read the questions, in ``text_ids``, over their visuals.

        Returns:
            One vector per word piece of the question, float (B, L, D), and bool (B, L), True = real token.

        Raises:
            OmniVLValueError: The batch has no questions.
        """
        if batch.text_ids is None:
            raise OmniVLValueError('the batch has no questions: use QADataset, and TokenizeText in its pipeline')
        visual = self.encode_visual(batch.frames, batch.modality)
        question_ids = self.matching_ids(batch.text_ids)
        key_values = self.visual_key_values(visual.tokens)
        fused = self.alignment_decoder(question_ids, batch.text_mask, key_values.alignment)
        return fused.tokens, batch.text_mask

    def question_key_values(self, batch: VLBatch) -> QuestionKeyValues:
        """Read the questions and make what the generation decoder looks up in them.

        Returns:
            One (key, value) pair per layer, each (B, h, L, d), and bool (B, L), True = real token.
        """
        states, mask = self.question_states(batch)
        return self.generation_decoder.project_visual(states), mask

    def answer_logits(
        self, answer_ids: Tensor, answer_mask: Tensor, key_values: Sequence[KeyValue], mask: Tensor,
        owner: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """Predict given answers, all positions at once.

        Args:
            answer_ids: int64 (A, L), [CLS] first and [SEP] last.
            answer_mask: bool (A, L).
            key_values: From ``question_key_values``, of B questions.
            mask: From ``question_key_values``.
            owner: The question of each answer, int64 (A,); without it, A = B * G and answers are grouped by question.

        Returns:
            Logits, float (A, L - 1, V), and the word pieces to predict, int64 (A, L - 1), -100 where there is none.
        """
        inputs = self.replace_first(answer_ids, self.tokenizer.decoder_id)[:, :-1]
        targets = answer_ids[:, 1:].masked_fill(~answer_mask[:, 1:], IGNORED)
        return self.generation_decoder(inputs, key_values, owner, mask), targets

    def loss(self, batch: VLBatch) -> dict[str, Tensor]:
        """Compute ``loss_answer``, see ``answer_loss``.

        Raises:
            OmniVLValueError: The batch has no questions or no answers.
        """
        if batch.answer_ids is None:
            raise OmniVLValueError('training needs answers: is the file a test set, whose answers are not published?')
        key_values, mask = self.question_key_values(batch)
        logits, targets = self.answer_logits(batch.answer_ids, batch.answer_mask, key_values, mask, batch.answer_owner)
        loss = answer_loss(logits, targets, batch.answer_weights, len(batch), self.label_smoothing)
        return dict(loss_answer=loss)

    @torch.no_grad()
    def rank_answers(
        self,
        batch: VLBatch,
        answer_ids: Sequence[np.ndarray],
        k: int = 128,
        max_pairs: int = 1024,
        question: QuestionKeyValues | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Choose the likeliest of given answers.

        First the ``k`` answers whose first word piece is likeliest, then, of these, the one that is likeliest as a
        whole, [SEP] included (BLIP: k = 128). BLIP compares losses with their label smoothing; here it is the plain
        log-likelihood. Of equal first word pieces those that stand first in the list are kept.

        Args:
            batch: Visuals and questions.
            answer_ids: The n answers, [CLS] first and [SEP] last, each int64 (L_i,).
            k: How many are looked at in full; all of them if there are no more.
            max_pairs: Answers per pass of the decoder, which bounds the memory.
            question: What ``question_key_values`` made of the batch, if it was called before.

        Returns:
            Index of the best answer of each question, int64 (B,), and its log-likelihood in nats, float32 (B,).

        Raises:
            OmniVLValueError: There are no answers, or ``k`` is below 1.
        """
        if not len(answer_ids) or k < 1:
            raise OmniVLValueError(
                f'ranking needs answers and a k of at least 1, got {len(answer_ids)} answers and k={k}'
            )
        key_values, mask = question or self.question_key_values(batch)
        ids, real = (tensor.to(mask.device) for tensor in pad_text(answer_ids, self.tokenizer.pad_id))
        logits, _ = self.generation_decoder.step(self._start(mask), None, key_values, mask)
        first = logits.float().log_softmax(dim=-1)[:, ids[:, 1]]  # (B, n)
        k = min(k, len(ids))
        candidates = first.sort(dim=1, descending=True, stable=True).indices[:, :k]
        scores = []
        for part in torch.arange(len(mask), device=mask.device).split(max(1, max_pairs // k)):
            chosen = candidates[part].flatten()
            longest = int(real[chosen].sum(dim=1).max())
            some = [(key[part], value[part]) for key, value in key_values]
            logits, targets = self.answer_logits(ids[chosen, :longest], real[chosen, :longest], some, mask[part])
            scores.append(-answer_losses(logits, targets).view(-1, k))
        best = torch.cat(scores).max(dim=1)
        return candidates.gather(1, best.indices[:, None]).squeeze(1), best.values

    @torch.no_grad()
    def generate_answers(
        self,
        batch: VLBatch,
        method: str = 'beam',
        num_beams: int = 3,
        length_penalty: float = 1.0,
        max_length: int = 10,
        min_length: int = 0,
        question: QuestionKeyValues | None = None,
    ) -> list[tuple[str, float]]:
        """Write an answer to each question.

        Args:
            batch: Visuals and questions.
            method: ``'beam'`` or ``'greedy'``.
            num_beams: Of beam search (3 in BLIP).
            length_penalty: Of beam search, see ``beam_search``.
            max_length: Most word pieces, the closing one included (in BLIP 10 with [DEC], so 9).
            min_length: Word pieces before the answer may end (in BLIP 1 with [DEC], so 0).
            question: As for ``rank_answers``.

        Returns:
            The answer to each question and its score, see ``GenerationOutput``.

        Raises:
            OmniVLValueError: There is no such method, or a length is out of its range.
        """
        if method not in METHODS:
            raise OmniVLValueError(f'method must be one of {METHODS}, got {method!r}')
        key_values, mask = question or self.question_key_values(batch)

        def step(ids: Tensor, cache: Cache | None) -> tuple[Tensor, Cache]:
            return self.generation_decoder.step(ids, cache, key_values, mask)

        common = dict(
            end_id=self.tokenizer.sep_id, pad_id=self.tokenizer.pad_id, max_length=max_length, min_length=min_length
        )
        if method == 'greedy':
            output = greedy(step, self.reorder_cache, self._start(mask), **common)
        else:
            output = beam_search(
                step, self.reorder_cache, self._start(mask), num_beams=num_beams, length_penalty=length_penalty,
                **common,
            )  # fmt: skip
        return [(self.tokenizer.decode(ids), score) for ids, score in zip(output.ids, output.scores.tolist())]

    def _start(self, mask: Tensor) -> Tensor:
        """[DEC] for each of B questions, int64 (B, 1)."""
        return torch.full((len(mask), 1), self.tokenizer.decoder_id, device=mask.device)

    def predict(self, batch: VLBatch, data_samples: Sequence[VLDataSample]) -> list[VLDataSample]:
        """Put the answer that beam search writes, and its score, into the samples: ``pred_answer``, ``pred_score``."""
        for sample, (answer, score) in zip(data_samples, self.generate_answers(batch)):
            sample.set_field(answer, 'pred_answer')
            sample.set_field(score, 'pred_score')
        return list(data_samples)
