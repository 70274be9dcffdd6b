"""Question answering as a text that goes on: the question, and behind it the answer."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import Unpack

from omnivl.errors import OmniVLValueError
from omnivl.models.generation import Writing
from omnivl.models.interfaces import KeyValues
from omnivl.models.losses import TextPrediction
from omnivl.models.losses.language import IGNORED
from omnivl.models.omnivl import reorder_cache
from omnivl.models.tasks.base import ModelOptions
from omnivl.models.tasks.qa import AnsweringModel
from omnivl.registry import MODELS

from .trunk import CoCa


class Questions(NamedTuple):
    """B questions and what is to be seen.

    Attributes:
        ids: int64 (B, L), [CLS] first, without [SEP].
        mask: bool (B, L), True = real token of the question.
        key_values: What the decoder looks up in the visuals: one (key, value) pair per layer, each (B, h, S, d).
    """

    ids: Tensor
    mask: Tensor
    key_values: KeyValues

    def select(self, index: Tensor) -> 'Questions':
        """Take some of them, int64 (N,)."""
        taken = [(key[index], value[index]) for key, value in self.key_values]
        return Questions(self.ids[index], self.mask[index], taken)


@MODELS.register_module()
class CoCaQA(AnsweringModel):
    """A CoCa that answers: it reads question and answer as one text, [CLS] between them, and the answer is predicted.

    The paper classifies among the commonest answers instead; so written, any answer can be given, and a list can be
    ranked. An answer stands right behind its question, so padding of questions changes nothing.

    Args:
        trunk: Config of the trunk.
        label_smoothing: See ``answer_loss``.
        **options: See ``TrunkModel``.
    """

    trunk: CoCa

    def __init__(self, trunk: dict, label_smoothing: float = 0.0, **options: Unpack[ModelOptions]) -> None:
        super().__init__(
            trunk=trunk,
            losses=[dict(type='AnswerLoss', label_smoothing=label_smoothing)],
            parts=('visual_encoder', 'pooler', 'text_encoder', 'text_decoder'),
            **options,
        )

    def read(self, visual_tokens: Tensor, text_ids: Tensor, text_mask: Tensor) -> Questions:
        """Take questions, int64 (B, L) with their mask, bool (B, L), on visual tokens (B, S, D)."""
        mask = F.pad(text_mask[:, 1:], (0, 1))  # without [SEP], the last token
        return Questions(text_ids, mask, self.trunk.writing_key_values(visual_tokens))

    def predict_answers(
        self, answer_ids: Tensor, answer_mask: Tensor, questions: Questions, owner: Tensor | None = None
    ) -> TextPrediction:
        """See ``AnsweringModel.predict_answers``."""
        asked = torch.arange(questions.mask.shape[0], device=answer_ids.device)
        asked = asked.repeat_interleave(answer_ids.shape[0] // questions.mask.shape[0]) if owner is None else owner
        before, length = questions.mask.sum(dim=1)[asked, None], answer_ids.shape[1]  # (A, 1)
        place = torch.arange(questions.ids.shape[1] + length - 1, device=answer_ids.device)  # of the joined texts
        of_answer = (place - before).clamp(0, length - 1)
        padded = F.pad(questions.ids[asked], (0, length - 1))
        joined = torch.where(place < before, padded, answer_ids.gather(1, of_answer))
        decoded, _ = self.trunk.read_on(joined, questions.key_values, visual_index=owner)
        chosen = before + torch.arange(length - 1, device=answer_ids.device)
        decoded = decoded.take_along_dim(chosen[:, :, None], dim=1)  # (A, L - 1, D)
        targets = answer_ids[:, 1:].masked_fill(~answer_mask[:, 1:], IGNORED)
        return TextPrediction(decoded, targets, self.trunk.text_decoder.head)

    def begin(self, questions: Questions) -> Writing:
        """Prepare to write answers, [DEC] first, each at the positions behind its own question."""
        _, of_questions = self.trunk.read_on(questions.ids, questions.key_values)
        batch, asked = questions.mask.shape
        longest = self.trunk.text_encoder.max_length

        def step(ids: Tensor, cache: list | None) -> tuple[Tensor, list]:
            cache = of_questions if cache is None else cache
            count, new = ids.shape
            made = cache[0][0].shape[2] - asked
            if asked + made + new > longest:
                raise OmniVLValueError(
                    f'question and answer of {asked + made + new} tokens are longer than the {longest} positions of '
                    'the model (shorten TokenizeText.max_length, or max_length of the answers)'
                )
            mask = questions.mask.repeat_interleave(count // batch, dim=0)  # (N, L)
            positions = mask.sum(dim=1, keepdim=True) + made + torch.arange(new, device=ids.device)
            own = torch.ones(new, made + new, dtype=torch.bool, device=ids.device).tril(made)
            seen = torch.cat([mask[:, None].expand(-1, new, -1), own.expand(count, -1, -1)], dim=2)
            tokens, cache = self.trunk.read_on(ids, questions.key_values, cache, seen[:, None], positions)
            return self.trunk.text_decoder.head(tokens[:, -1]), cache

        start = self.start_ids(questions)
        return Writing(step, reorder_cache, start, self.tokenizer.sep_id, self.tokenizer.pad_id)
