"""One line from a picture or a clip to a caption, an answer, a match, a class, a search, features or attention."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from omnivl.errors import OmniVLTypeError, OmniVLValueError
from omnivl.evaluation import CaptionEvaluation, MultiLabelEvaluation
from omnivl.evaluation.qa import QAEvaluation
from omnivl.models.decoders.generation import packed_decoders
from omnivl.models.interfaces import Answers, Classifies, HasParts, Matches, Writes, offered_by, serving
from omnivl.models.tasks import TrunkModel
from omnivl.visualization.attention import draw_word_attention
from omnivl.weights.hub import HUB, push

from .base import Answer
from .export import save_model
from .inputs import all_texts, read_visuals
from .retrieval import GallerySearcher
from .tasks import answering, captioning, classifying, classifying_by_head, matching


class OmniVLInferencer(GallerySearcher):
    """A model that takes files, URLs, pictures and arrays as they are.

    What ``x`` may be: a path; a URL of any scheme that fsspec knows; a PIL image; an array uint8 (H, W, 3), or
    (T, H, W, 3) for a clip; a list of frames; or a list or a folder of any of these, images and videos mixed, and
    sounds for a model that hears. In a list a picture is an image and a list is the frames of one clip; alone, a list
    of pictures is the frames of one clip with ``modality='video'``, and a video is its sound with ``'audio'``.

    One ``x`` gives one dict, a list or folder a list of dicts in its order. Each has ``input`` (path, URL, or ``#`` and
    the place in the list), ``modality`` and the answer with its scores. What cannot be read has ``error`` instead, and
    the rest goes on. Batches are made inside, and a batch returns what its members return alone.

    Pixels and texts go through the test pipeline of the config, as in ``omnivl test``.

    Args:
        folder_or_config: What :meth:`from_pretrained` takes; or a config, with a checkpoint.
        checkpoint: File of weights, or a work directory, whose last checkpoint is taken.
        device: ``'cpu'``, ``'cuda:0'`` ...; None = the GPU if there is one.
        batch_size: Visuals per forward pass of the visual encoder.

    Example:
        >>> inferencer = OmniVLInferencer('configs/omnivl/pretrain_joint.py', 'joint.pth')  # doctest: +SKIP
        >>> inferencer.caption('pictures')[0]['caption']  # doctest: +SKIP
        'a red circle above a blue square'
    """

    @classmethod
    def from_pretrained(
        cls, name: str | Path, device: str | torch.device | None = None, batch_size: int = 16
    ) -> 'OmniVLInferencer':
        """Load a model by its name; errors are those of ``own_config`` and of ``omnivl/weights/hub.py``.

        That is a checkpoint, a work directory, an exported folder, or a folder of BLIP in Hugging Face's form;
        ``hf://owner/name[@revision]`` for such a folder on the hub, which is downloaded once; or a name of
        ``omnivl/weights/names.py``.
        """
        return cls(name, None, device, batch_size)

    def save_pretrained(self, folder: str | Path, name: str = 'omnivl', licence: str | None = None) -> None:
        """Write the model into a folder as ``omnivl export`` does; ``from_pretrained`` reads it.

        The model card has the ``name``, and the ``licence`` of the weights, as the hub calls it (``'apache-2.0'``).
        """
        if offered_by(self.model, HasParts) is None:
            raise OmniVLTypeError(f'a {type(self.model).__name__} does not say what its parts are (HasParts)')
        address = name if name.startswith(HUB) else str(folder)
        title, results = name.removeprefix(HUB), self.loaded.results
        save_model(self.model, self.loaded.config, folder, results, name=title, address=address, licence=licence)

    def push_to_hub(
        self,
        repo_id: str,
        private: bool = False,
        licence: str | None = None,
        commit_message: str = 'Upload a model of omnivl',
    ) -> str:
        """Upload the model to the hub as ``save_pretrained`` writes it; return the address of the commit.

        ``repo_id`` is ``owner/name``; if there is none yet it is made, with ``private`` for its owner only.
        """
        address = HUB + repo_id.removeprefix(HUB)
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder, address, licence)
            return push(Path(folder), address, private, commit_message)

    @torch.no_grad()
    def caption(
        self,
        x: object,
        method: str | None = None,
        options: Mapping[str, Any] | None = None,
        prompt: str | None = None,
        max_length: int | None = None,
        min_length: int | None = None,
        modality: str | None = None,
    ) -> Answer | list[Answer]:
        """Write captions.

        What is None is as in the caption evaluation of the config, or else as that of ``CaptionEvaluation``.

        Args:
            x: See the class.
            method: ``'greedy'``, ``'beam'`` or ``'nucleus'``; None = beam search if the evaluation has it.
            options: Options of the method, see ``CaptionEvaluation`` (``num_beams``, ``top_p`` ...).
            prompt: Words that captions begin with; not part of the result.
            max_length: Most word pieces, the closing one included.
            min_length: Word pieces before a caption may end.
            modality: That of all of ``x``; None = by suffix and shape.

        Returns:
            ``caption``, and ``score``: log-probability per word piece (for beam search what it ranks by).
        """
        known = self.loaded.evaluation(CaptionEvaluation) or CaptionEvaluation()
        method = method or ('beam' if 'beam' in known.methods else next(iter(known.methods)))
        protocol = CaptionEvaluation(
            methods={method: known.methods.get(method, {}) if options is None else options},
            prompt=known.prompt if prompt is None else prompt,
            max_length=known.max_length if max_length is None else max_length,
            min_length=known.min_length if min_length is None else min_length,
        )
        writes = serving(self.model, Writes, 'caption')
        with packed_decoders(self.model):
            return self.answer_each(x, modality, captioning(writes, protocol, method), 'captions')

    @torch.no_grad()
    def answer(
        self,
        x: object,
        question: str | Sequence[str],
        answers: Sequence[str] | None = None,
        options: Mapping[str, Any] | None = None,
        modality: str | None = None,
    ) -> Answer | list[Answer]:
        """Answer questions; only a model for that can.

        Args:
            x: See the class.
            question: A question, or several, each of which is asked about each visual.
            answers: Answers to choose from; None = the answer is written freely.
            options: ``k`` for a choice; ``method, num_beams, length_penalty, max_length, min_length`` for free answers
                (see ``OmniVLQA``); None = as in the evaluation of the config.
            modality: See :meth:`caption`.

        Returns:
            ``question`` as the model gets it, ``answer`` and ``score`` (log-likelihood: of a chosen answer as a whole,
            of a written one per word piece); for a list of questions these three of each in ``answers``.

        Raises:
            OmniVLTypeError: The model is not for questions.
        """
        answerer = serving(self.model, Answers, 'answer')
        if answers is not None and not len(answers):
            raise OmniVLValueError('answers must hold at least one answer to choose from, or be None for a free answer')
        questions, ids = self.texts(question, are_questions=True)
        known = self.loaded.evaluation(QAEvaluation)
        if options is None and known is not None:
            options = (
                dict(num_beams=known.num_beams, max_length=known.max_length) if answers is None else dict(k=known.k)
            )
        work = answering(answerer, questions, ids, answers, options or {})
        return self._single_text(self.answer_each(x, modality, work, 'answers'), question, 'answers')

    @torch.no_grad()
    def match(self, x: object, text: str | Sequence[str], modality: str | None = None) -> Answer | list[Answer]:
        """Score whether visual and text belong together, with the alignment decoder.

        Args:
            x: See the class.
            text: A text, or several, each of which is held against each visual.
            modality: See :meth:`caption`.

        Returns:
            ``text`` as the model gets it, ``score`` (probability of a match) and ``similarity`` (cosine of the unit
            vectors); for a list of texts these three of each in ``matches``.
        """
        cleaned, ids = self.texts(text)
        work = matching(self.model, cleaned, ids, self.text_features(ids))
        return self._single_text(self.answer_each(x, modality, work, 'matching'), text, 'matches')

    @torch.no_grad()
    def classify(
        self,
        x: object,
        names: Sequence[str] | None = None,
        templates: str | Sequence[str] | None = None,
        top_k: int = 5,
        modality: str | None = None,
    ) -> Answer | list[Answer]:
        """Find the class of a visual: with the head of an ``OmniVLClassifier``, else by prompts (zero-shot).

        Args:
            x: See the class.
            names: Names of the classes. A head has its own, which are known if the annotations of the config's test are
                there, or if an exported folder has them; given, they are the names of all its classes in order.
            templates: For prompts: a set of ``omnivl/datasets/prompts.py``, or sentences with ``{}`` for the name; None
                = those of the config's evaluation of the modality, or else ``'clip_image'`` and ``'actionclip'``.
            top_k: Classes in ``scores``.
            modality: See :meth:`caption`.

        Returns:
            ``predicted`` (a name), its ``score`` (probability by a head, cosine similarity by prompts) and ``scores``:
            the best classes, best first.

        Raises:
            OmniVLValueError: A model without a head gets no names, or one with a head gets templates.
        """
        if top_k < 1:
            raise OmniVLValueError(f'top_k must be at least 1, got {top_k}')
        classifies = offered_by(self.model, Classifies)
        if classifies is not None:
            if templates is not None:
                raise OmniVLValueError(
                    'an OmniVLClassifier has a head and needs no templates; prompts are for other models'
                )
            several = self.loaded.evaluation(MultiLabelEvaluation) is not None
            work = classifying_by_head(classifies, self.loaded.classes, names, top_k, several)
        elif names is None:
            raise OmniVLValueError(
                f'{type(self.model).__name__} has no head for classes: give the names of the classes'
            )
        else:
            work = classifying(self.loaded, self.preparation, names, templates, top_k)
        return self.answer_each(x, modality, work, 'classes')

    @torch.no_grad()
    def features(self, x: Any, modality: str | None = None) -> Answer | list[Answer]:
        """Return unit vectors of the space that visuals and texts share.

        Args:
            x: See the class; or a text or a list of texts. A string is a text unless it is a URL, has the suffix of an
                image or video, or is an existing path with a separator in it; ``pathlib.Path`` is always a path.
            modality: See :meth:`caption`.

        Returns:
            ``feature``, float32 (E,), with ``text`` (as the model gets it) for texts.
        """
        if all_texts(x):
            rows = self._text_rows(x)[0]
            return rows[0] if isinstance(x, str) else rows
        return self.answer_each(x, modality, self.project, 'features')

    @torch.no_grad()
    def attention(
        self,
        x: object,
        text: str,
        words: Sequence[str] | None = None,
        layer: int | None = None,
        kind: str = 'attention',
        modality: str | None = None,
    ) -> Answer | list[Answer]:
        """Draw where the alignment decoder looks for the words of a text, over an image or the frames of a clip.

        Args:
            x: See the class.
            text: The text.
            words: The words to draw; None = all.
            layer: See ``omnivl.visualization.attention.attend``.
            kind: ``'attention'``, ``'contrast'`` or ``'relevance'``, see there.
            modality: See :meth:`caption`.

        Returns:
            ``text`` as the model gets it and ``picture``, a ``PIL.Image``.

        Raises:
            OmniVLTypeError: The model does not match texts with visuals, or has no trunk.
            OmniVLValueError: There is no such word, layer or kind.
        """
        serving(self.model, Matches, 'attention')
        if not isinstance(self.model, TrunkModel):
            raise OmniVLTypeError(
                f'attention is drawn of the parts of a trunk, which a {type(self.model).__name__} lacks'
            )
        (cleaned,), _ = self.texts(text)
        visuals, single = read_visuals(x, modality)
        rows: list[Answer] = [dict(input=visual.name, modality=visual.modality) for visual in visuals]
        for number, item in self.prepare_each(visuals, rows, 'attention'):
            shown = visuals[number].modality
            frames = item['inputs'][shown].permute(0, 2, 3, 1).numpy()
            picture = draw_word_attention(self.model, frames, cleaned, shown, words, layer, kind)
            rows[number] |= dict(text=cleaned, picture=picture)
        return rows[0] if single else rows

    @staticmethod
    def _single_text(rows: Answer | list[Answer], text: str | Sequence[str], key: str) -> Answer | list[Answer]:
        """Put, for one text, what is in a list of one in its place."""
        if isinstance(text, str):
            for row in rows if isinstance(rows, list) else [rows]:
                row.update(row.pop(key, [{}])[0])
        return rows
