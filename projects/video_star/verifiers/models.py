"""Verifiers that ask a language model, loaded when the first answer is judged: from a local folder, or from the hub.

They judge what rules cannot, paraphrases, and make mistakes of their own: each has a threshold, none is a default.
"""

from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch

from omnivl.errors import OmniVLFileNotFoundError

from ..registry import VERIFIERS
from .base import Verdict, Verifier
from .text import sentences, words_of

JUDGED = (
    'Question: {question}\nLabel: {label}\nAnswer: {answer}\n'
    'Does the answer say what the label says, all of it and in its order? Say yes or no:'
)


class _ModelVerifier(Verifier):
    """A text as a label, and a model.

    Args:
        model: A local folder of transformers, or a name on the hub.
        device: Where it runs.
    """

    kind = 'AutoModel'

    def __init__(self, model: str, device: str = 'cpu') -> None:
        self.name = model
        self.device = device
        self.question = ''

    def __call__(self, answer: str, truth: Any, question: str = '') -> Verdict:
        """Judge an answer, see ``Verifier``."""
        self.question = question
        return super().__call__(answer, truth, question)

    @cached_property
    def loaded(self) -> tuple[Any, Any]:
        """Tokenizer and model, in evaluation mode."""
        import transformers

        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(self.name)
            model = getattr(transformers, self.kind).from_pretrained(self.name)
        except OSError as error:
            raise OmniVLFileNotFoundError(
                f'{type(self).__name__}: {self.name} is neither a folder nor a name on the hub that can be read; '
                'take a verifier of rules, or another model'
            ) from error
        return tokenizer, model.eval().to(self.device)

    def check_truth(self, truth: Any) -> list[str]:
        """Return texts."""
        texts = [truth] if isinstance(truth, str) else truth
        is_right = isinstance(texts, list | tuple) and len(texts) > 0
        if not is_right or not all(isinstance(one, str) and words_of(one) for one in texts):
            raise self.wrong_type(truth, 'texts')
        return list(texts)

    @torch.no_grad()
    def judge(self, answer: str, truth: list[str]) -> Verdict:
        """Ask the model."""
        return self.ask(answer, truth)

    @abstractmethod
    def ask(self, answer: str, truth: Sequence[str]) -> Verdict:
        """Judge an answer with the model, without gradients."""


@VERIFIERS.register_module()
class SentenceEmbedding(_ModelVerifier):
    """Each sentence of the label is near one of the answer, by the cosine of their mean embeddings.

    Args:
        model: Of sentence embeddings, see ``_ModelVerifier``.
        cosine: That must be reached (0.6 in the published code).
        device: Where it runs.
    """

    def __init__(self, model: str, cosine: float = 0.6, device: str = 'cpu') -> None:
        super().__init__(model, device)
        self.cosine = cosine

    def ask(self, answer: str, truth: Sequence[str]) -> Verdict:
        """Compare embeddings."""
        likeness = self._embed(truth) @ self._embed(sentences(answer)).T
        lowest = float(likeness.max(dim=1).values.min())
        return Verdict(lowest >= self.cosine, f'cosine {lowest:.2f}')

    def _embed(self, texts: Sequence[str]) -> torch.Tensor:
        """Return unit vectors, float (N, D)."""
        tokenizer, model = self.loaded
        tokens = tokenizer(list(texts), padding=True, truncation=True, return_tensors='pt').to(self.device)
        mask = tokens['attention_mask'][:, :, None]
        states = model(**tokens).last_hidden_state
        return torch.nn.functional.normalize((states * mask).sum(dim=1) / mask.sum(dim=1), dim=1)


@VERIFIERS.register_module()
class Entailment(_ModelVerifier):
    """Each sentence of the label follows from one of the answer, says a model of natural language inference.

    Args:
        model: See ``_ModelVerifier``; one of its classes is called entailment.
        probability: That must be reached.
        hypothesis: What the label is put into.
        device: Where it runs.
    """

    kind = 'AutoModelForSequenceClassification'

    def __init__(
        self, model: str, probability: float = 0.6, hypothesis: str = 'The video shows {}.', device: str = 'cpu'
    ) -> None:
        super().__init__(model, device)
        self.probability = probability
        self.hypothesis = hypothesis

    def ask(self, answer: str, truth: Sequence[str]) -> Verdict:
        """Ask for each pair of sentences."""
        tokenizer, model = self.loaded
        labels = {name.lower(): number for number, name in model.config.id2label.items()}
        number = next((number for name, number in labels.items() if name.startswith('entail')), 0)
        lowest = 1.0
        for text in truth:
            said = sentences(answer)
            pairs = tokenizer(
                said, [self.hypothesis.format(text)] * len(said), padding=True, truncation=True, return_tensors='pt'
            ).to(self.device)
            lowest = min(lowest, float(model(**pairs).logits.softmax(dim=1)[:, number].max()))
        return Verdict(lowest >= self.probability, f'entailment {lowest:.2f}')


@VERIFIERS.register_module()
class Judge(_ModelVerifier):
    """A language model says yes or no: which of the two is likelier as the next word.

    Args:
        model: See ``_ModelVerifier``.
        prompt: With ``{question}``, ``{label}`` and ``{answer}``.
        device: Where it runs.
    """

    kind = 'AutoModelForCausalLM'

    def __init__(self, model: str, prompt: str = JUDGED, device: str = 'cpu') -> None:
        super().__init__(model, device)
        self.prompt = prompt

    def ask(self, answer: str, truth: Sequence[str]) -> Verdict:
        """Compare the two words."""
        tokenizer, model = self.loaded
        text = self.prompt.format(question=self.question, label=', then '.join(truth), answer=answer)
        logits = model(**tokenizer(text, return_tensors='pt').to(self.device)).logits[0, -1]
        yes, no = (
            max(float(logits[tokenizer.encode(word, add_special_tokens=False)[0]]) for word in forms)
            for forms in ((' yes', ' Yes', 'yes', 'Yes'), (' no', ' No', 'no', 'No'))
        )
        return Verdict(yes > no, f'yes {yes - no:+.2f}')
