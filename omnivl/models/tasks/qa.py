"""Question answering: the question looks at the visual, the answer at the question (BLIP, 2201.12086, figure 5)."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from mmengine.logging import print_log
from torch import Tensor, nn
from typing_extensions import Unpack

from omnivl.errors import OmniVLValueError
from omnivl.registry import MODELS
from omnivl.structures import VLBatch, VLDataSample

from ..data_preprocessor import pad_text
from ..decoders.generation import Cache
from ..generation import Writing
from ..interfaces import TextTokenizer
from ..layers.attention import KeyValue
from ..losses import TextPrediction, answer_log_likelihoods
from ..omnivl import reorder_cache, shift_for_writing
from ..writing import METHODS
from .base import ModelOptions, TrainingStep, TrunkModel

# What the names of weights begin with: of pretraining's decoder, and of the one that answers.
GENERATION, ANSWERS = 'trunk.generation_decoder.', 'answer_decoder.'


class AnsweringStep(TrainingStep):
    """A step that predicts the answers to the questions."""

    model: 'AnsweringModel'

    @cached_property
    def answers(self) -> TextPrediction:
        """What the decoder says of each token of the A answers."""
        questions = self.model.read_questions(self.batch)
        ids, mask = cast(tuple[Tensor, Tensor], (self.batch.answer_ids, self.batch.answer_mask))
        return self.model.predict_answers(ids, mask, questions, self.batch.answer_owner)

    @property
    def answer_weights(self) -> Tensor:
        """What each answer counts, float (A,)."""
        return cast(Tensor, self.batch.answer_weights)

    @property
    def questions(self) -> int:
        """Number of questions B."""
        return len(self.batch)


class AnsweringModel(TrunkModel):
    """What models that answer questions have in common: a task says how it reads questions, and predicts answers.

    What ``read`` makes of B questions has ``mask``, bool (B, L), and ``select``, which takes some of them, int64 (N,).
    """

    step_type = AnsweringStep

    @property
    def tokenizer(self) -> TextTokenizer:
        """The text tokenizer of the trunk."""
        return self.trunk.tokenizer

    @abstractmethod
    def read(self, visual_tokens: Tensor, text_ids: Tensor, text_mask: Tensor) -> Any:
        """Read questions, int64 (B, L) with their mask, bool (B, L), on visual tokens (B, S, D)."""

    @abstractmethod
    def predict_answers(
        self, answer_ids: Tensor, answer_mask: Tensor, questions: Any, owner: Tensor | None = None
    ) -> TextPrediction:
        """Predict given answers, all positions at once.

        Args:
            answer_ids: int64 (A, L), [CLS] first and [SEP] last.
            answer_mask: bool (A, L), True = real token.
            questions: From ``read``.
            owner: The question of each answer, int64 (A,); without it, A = B * G and answers are grouped by question.

        Returns:
            Predictions of L - 1 tokens, and these.
        """

    @abstractmethod
    def begin(self, questions: Any) -> Writing:
        """Prepare to write answers, [DEC] first, to questions from ``read``."""

    def read_questions(self, batch: VLBatch) -> Any:
        """Read the questions, in ``text_ids``, over their visuals."""
        if batch.text_ids is None:
            raise OmniVLValueError('the batch has no questions: use QADataset, and TokenizeText in its pipeline')
        return self.read(self.encode(batch).tokens, *batch.texts)

    def loss(self, batch: VLBatch) -> dict[str, Tensor]:
        """Compute ``loss_answer``, see ``answer_loss``; a batch without questions or answers is refused."""
        if batch.answer_ids is None:
            raise OmniVLValueError('training needs answers: is the file a test set, whose answers are not published?')
        return super().loss(batch)

    @torch.no_grad()
    def rank_answers(
        self,
        batch: VLBatch,
        answer_ids: Sequence[np.ndarray],
        k: int = 128,
        *,
        max_pairs: int = 1024,
        questions: Any = None,
    ) -> tuple[Tensor, Tensor]:
        """Choose the likeliest of given answers.

        First the ``k`` answers whose first token is likeliest, then, of these, the one that is likeliest as a whole,
        [SEP] included (BLIP: k = 128). BLIP compares losses with their label smoothing; here it is the plain
        log-likelihood. Of equal first tokens those that stand first in the list are kept.

        Args:
            batch: Visuals and questions.
            answer_ids: The n answers, [CLS] first and [SEP] last, each int64 (L_i,).
            k: How many are looked at in full; all of them if there are no more.
            max_pairs: Answers per pass of the decoder, which bounds the memory.
            questions: What ``read_questions`` made of the batch, if it was called before.

        Returns:
            Index of the best answer of each question, int64 (B,), and its log-likelihood in nats, float32 (B,).

        Raises:
            OmniVLValueError: There are no answers, or ``k`` is below 1.
        """
        if not len(answer_ids) or k < 1:
            raise OmniVLValueError(
                f'ranking needs answers and a k of at least 1, got {len(answer_ids)} answers and k={k}'
            )
        questions = questions or self.read_questions(batch)
        mask = questions.mask
        ids, real = (tensor.to(mask.device) for tensor in pad_text(answer_ids, self.tokenizer.pad_id))
        writing = self.begin(questions)
        logits, _ = writing.step(writing.start_ids, None)
        first = logits.float().log_softmax(dim=-1)[:, ids[:, 1]]  # (B, n)
        k = min(k, len(ids))
        candidates = first.sort(dim=1, descending=True, stable=True).indices[:, :k]
        scores = []
        for part in torch.arange(len(mask), device=mask.device).split(max(1, max_pairs // k)):
            chosen = candidates[part].flatten()
            longest = int(real[chosen].sum(dim=1).max())
            prediction = self.predict_answers(ids[chosen, :longest], real[chosen, :longest], questions.select(part))
            scores.append(answer_log_likelihoods(prediction).view(-1, k))
        best = torch.cat(scores).max(dim=1)
        return candidates.gather(1, best.indices[:, None]).squeeze(1), best.values

    @torch.no_grad()
    def generate_answers(
        self,
        batch: VLBatch,
        method: str = 'beam',
        *,
        num_beams: int = 3,
        length_penalty: float = 1.0,
        max_length: int = 10,
        min_length: int = 0,
        questions: Any = None,
        **sampling: Any,
    ) -> list[tuple[str, float]]:
        """Write an answer to each question.

        Args:
            batch: Visuals and questions.
            method: ``'beam'``, ``'greedy'`` or ``'nucleus'``.
            num_beams: Of beam search (3 in BLIP).
            length_penalty: Of beam search, see ``beam_search``.
            max_length: Most tokens, the closing one included (in BLIP 10 with [DEC], so 9).
            min_length: Tokens before the answer may end (in BLIP 1 with [DEC], so 0).
            questions: As for ``rank_answers``.
            **sampling: Options of ``nucleus``: ``top_p, top_k, temperature, generator``.

        Returns:
            The answer to each question and its score, see ``GenerationOutput``.

        Raises:
            OmniVLValueError: There is no such method, or a length is out of its range.
        """
        if method not in METHODS:
            raise OmniVLValueError(f'method must be one of {sorted(METHODS)}, got {method!r}')
        writing = self.begin(questions or self.read_questions(batch))
        of_beam: dict[str, Any] = dict(num_beams=num_beams, length_penalty=length_penalty) if method == 'beam' else {}
        output = METHODS[method][0](writing, max_length, min_length, **of_beam, **sampling)
        return [(self.tokenizer.decode(ids), score) for ids, score in zip(output.ids, output.scores.tolist())]

    def begin_answering(self, visual_tokens: Tensor, text_ids: Tensor, text_mask: Tensor) -> Writing:
        """Prepare to answer questions, int64 (B, L) with mask, on visual tokens (B, S, D); [DEC] first."""
        return self.begin(self.read(visual_tokens, text_ids, text_mask))

    def start_ids(self, questions: Any) -> Tensor:
        """Return [DEC] for each of B questions, int64 (B, 1)."""
        return torch.full((questions.mask.shape[0], 1), self.tokenizer.decoder_id, device=questions.mask.device)

    def predict(self, batch: VLBatch, data_samples: list[VLDataSample]) -> list[VLDataSample]:
        """Put the answer that beam search writes, and its score, into the samples: ``pred_answer``, ``pred_score``."""
        for sample, (answer, score) in zip(data_samples, self.generate_answers(batch)):
            sample.set_field(answer, 'pred_answer')
            sample.set_field(score, 'pred_score')
        return data_samples


class Questions(NamedTuple):
    """B questions that have been read over their visuals.

    Attributes:
        key_values: What answers look up in them: one (key, value) pair per layer, each (B, h, L, d).
        mask: bool (B, L), True = real token of the question.
    """

    key_values: list[KeyValue]
    mask: Tensor

    def select(self, index: Tensor) -> 'Questions':
        """Take some of them, int64 (N,)."""
        return Questions([(key[index], value[index]) for key, value in self.key_values], self.mask[index])


@MODELS.register_module()
class OmniVLQA(AnsweringModel):
    """A trunk of visual encoder and alignment decoder, and a decoder of its own that answers questions.

    The alignment decoder reads the question, [ENC] first, over the visual; the answer decoder, which is made as the
    trunk's generation decoder is and starts from its weights, reads what becomes of every word of the question, in the
    place of visual tokens, and writes the answer. OmniVL names this way of answering (2209.07526, section 3.1); how is
    BLIP's: the two decoders share nothing here. Padding of questions is never looked at; BLIP looks at it when it
    writes freely, so that there an answer depends on the other questions of the batch.

    Args:
        trunk: Config of the trunk.
        label_smoothing: See ``answer_loss`` (0.1 in BLIP).
        **options: See ``TrunkModel``.
    """

    def __init__(
        self,
        trunk: dict,
        label_smoothing: float = 0.1,
        **options: Unpack[ModelOptions],
    ) -> None:
        super().__init__(
            trunk=trunk,
            losses=[dict(type='AnswerLoss', label_smoothing=label_smoothing)],
            parts=('visual_encoder', 'alignment_decoder'),
            **options,
        )
        # Its keys come from the question.
        width = self.trunk.alignment_decoder.width
        self.answer_decoder = MODELS.build(dict(trunk['generation_decoder'], visual_width=width))

    @property
    def parts(self) -> Mapping[str, nn.Module]:
        """Name -> part; weights of a generation decoder go into the answer decoder."""
        return {**self.trunk.parts, 'generation_decoder': self.answer_decoder}

    def adapt_state_dict(self, state_dict: dict[str, Tensor]) -> None:
        """Fit weights about to be loaded: those of a generation decoder go into the answer decoder.

        Its cross-attention, where it was made for visual tokens of another width, starts anew.
        """
        super().adapt_state_dict(state_dict)
        for key in [key for key in state_dict if key.startswith(GENERATION)]:
            state_dict.setdefault(ANSWERS + key.removeprefix(GENERATION), state_dict.pop(key))
        own = self.state_dict()
        for key in [key for key in state_dict if '.cross_attention.attention.key_value.' in key]:
            if key.startswith(ANSWERS) and state_dict[key].shape != own[key].shape:
                print_log(f'{key}: left at its initial value, as answers look at questions here', 'current')
                del state_dict[key]

    def read(self, visual_tokens: Tensor, text_ids: Tensor, text_mask: Tensor) -> Questions:
        """Read questions, int64 (B, L) with their mask, bool (B, L), on visual tokens (B, S, D)."""
        key_values = self.trunk.matching_key_values(visual_tokens)
        fused = self.trunk.alignment_decoder(self.trunk.matching_ids(text_ids), text_mask, key_values)
        return Questions(self.answer_decoder.project_visual(fused.tokens), text_mask)

    def predict_answers(
        self, answer_ids: Tensor, answer_mask: Tensor, questions: Questions, owner: Tensor | None = None
    ) -> TextPrediction:
        """See ``AnsweringModel.predict_answers``."""
        inputs, targets = shift_for_writing(answer_ids, answer_mask, self.tokenizer.decoder_id)
        decoder = self.answer_decoder
        tokens = decoder(inputs, questions.key_values, owner, questions.mask, to_vocabulary=False)
        return TextPrediction(tokens, targets, decoder.to_logits)

    def begin(self, questions: Questions) -> Writing:
        """Prepare to write answers, [DEC] first."""

        def step(ids: Tensor, cache: Cache | None) -> tuple[Tensor, Cache]:
            return self.answer_decoder.step(ids, cache, questions.key_values, questions.mask)

        return Writing(step, reorder_cache, self.start_ids(questions), self.tokenizer.sep_id, self.tokenizer.pad_id)
