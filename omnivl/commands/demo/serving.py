"""What the page and its JSON interface give: plain values from an upload and texts; nothing here knows gradio."""

import os
import time
import warnings
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, cast

from omnivl.apis import Gallery, OmniVLInferencer
from omnivl.apis.inputs import Visual, is_text
from omnivl.datasets.errors import BrokenVisualError
from omnivl.errors import OmniVLError, OmniVLValueError
from omnivl.models.interfaces import Answers, Classifies, Contrasts, Matches, Writes, offered_by, serving
from omnivl.structures import MODALITIES
from omnivl.visualization.attention import KINDS, attend, draw_heat
from omnivl.visualization.sheets import frame_strip
from omnivl.weights.facts import model_facts, tokenizer_of

from .media import JPEG, MP4, data_uri, jpeg, small_clip, thumbnail
from .uploads import UploadLimits, check_upload, listed_texts, one_text

Answer = dict[str, Any]
STRIP_HEIGHT = 112  # pixels of the frames on which attention is drawn
MAX_RESULTS = 60
MAX_NOTES = 3


class Task(NamedTuple):
    """One thing that the page can do, if the model can.

    Attributes:
        name: In the JSON interface.
        title: On its tab.
        does: What it does, in words.
        needs: What the model must offer.
        reads: Whether it needs a test pipeline that reads texts.
    """

    name: str
    title: str
    does: str
    needs: tuple[type, ...]
    reads: bool = True


TASKS = (
    Task('caption', 'Caption', 'write captions', (Writes,), reads=False),
    Task('answer', 'Ask', 'answer questions', (Answers,)),
    Task('match', 'Match', 'compare it with texts', (Matches, Contrasts)),
    Task('classify', 'Classify', 'name its class', (Contrasts,)),
    Task('attention', 'Look', 'show where it looks', (Matches,)),
    Task('search', 'Search', 'search for what is like it', (Contrasts,)),
)
BY_HEAD = Task('classify', 'Classify', 'name its class', (Classifies,), reads=False)


class Serving:
    """A model behind the page; one call at a time, since writing packs the decoder of the model that all share.

    Args:
        inferencer: The model.
        name: What it is called on the page.
        checkpoint: What its weights are called.
        limits: Of what is uploaded.
        gallery: What ``search`` searches in, made with this model; None = nothing, so there is no search.

    Attributes:
        offered: The tasks that the model can do.
        refused: Title of every other task -> why not, in a line.
        has_head: Whether the model has classes of its own.
        answered: Calls that were begun so far.
        running: Calls at work now.
    """

    def __init__(
        self,
        inferencer: OmniVLInferencer,
        name: str,
        checkpoint: str,
        limits: UploadLimits,
        gallery: Gallery | None = None,
    ) -> None:
        self.inferencer: Any = inferencer  # one upload gives one dict, which its annotations cannot say
        self.name, self.checkpoint, self.limits, self.gallery = name, checkpoint, limits, gallery
        self.started = time.monotonic()
        self.answered = self.running = 0
        self.has_head = offered_by(inferencer.model, Classifies) is not None
        self.offered: list[Task] = []
        self.refused: dict[str, str] = {}
        for task in TASKS:
            reason = self._refusal(BY_HEAD if self.has_head and task.name == BY_HEAD.name else task)
            if reason is None:
                self.offered.append(task)
            else:
                self.refused[task.title] = reason
        self.places = {} if gallery is None else {name: place for place, name in enumerate(gallery.names)}

    def _refusal(self, task: Task) -> str | None:
        """Say in a line why the model cannot do a task, None if it can."""
        try:
            for interface in task.needs:
                serving(self.inferencer.model, interface, task.name)
            if task.reads:
                self.inferencer.preparation.tokenize  # noqa: B018, says what is missing
        except OmniVLError as error:
            return str(error).partition(' (see ')[0].partition(': ')[0]  # not which methods or parts are missing
        if task.name == 'search' and self.gallery is None:
            return 'there is nothing to search in: start the page with --index FOLDER'
        return None

    def caption(self, path: str, method: str | None = None) -> Answer:
        """Write a caption: ``caption`` and ``score``. ``method`` is as for ``OmniVLInferencer.caption``."""
        return self._about(path, lambda x, modality: self.inferencer.caption(x, method, modality=modality))

    def answer(self, path: str, question: str) -> Answer:
        """Answer a question: ``question`` as the model reads it, ``answer`` and ``score``."""
        asked = one_text(question, 'question')
        return self._about(path, lambda x, modality: self.inferencer.answer(x, asked, modality=modality))

    def match(self, path: str, texts: str | list[str]) -> Answer:
        """Score texts, one a line or a list: ``matches``, best first, as ``OmniVLInferencer.match`` gives them."""
        listed = listed_texts(texts, 'text')
        row = self._about(path, lambda x, modality: self.inferencer.match(x, listed, modality=modality))
        return dict(row, matches=sorted(row['matches'], key=lambda match: -match['score']))

    def classify(self, path: str, classes: str | list[str] | None = None, k: int = 5) -> Answer:
        """Find the class: ``predicted``, ``score`` and ``scores`` of the ``k`` best, best first.

        A model with a head has classes of its own, and gets none; any other needs some, with commas or lines between.
        """
        names = None if self.has_head else listed_texts(classes or '', 'class', separators='\n,')
        return self._about(path, lambda x, modality: self.inferencer.classify(x, names, top_k=k, modality=modality))

    def attention(self, path: str, text: str, kind: str = KINDS[0]) -> Answer:
        """Draw where the model looks for each word: ``words``, each with its ``picture``, and ``match``.

        Args:
            path: The file.
            text: The text.
            kind: See ``omnivl.visualization.attention.attend``.

        Returns:
            ``match`` is the probability that text and visual match; a ``picture`` is an address with a JPEG in it, with
            the frames of a clip side by side.
        """
        text = one_text(text, 'text')

        def draw(x: Path, modality: str) -> Answer:
            """Draw one upload."""
            (cleaned,), _ = self.inferencer.texts(text)
            try:
                item = self.inferencer.preparation(Visual(x.name, modality, str(x)))
            except BrokenVisualError as error:
                return dict(error=error.reason)
            frames = item['inputs'][modality].permute(0, 2, 3, 1).numpy()
            found = attend(self.inferencer.model, frames, cleaned, modality, kind=kind)
            strips = [frame_strip(list(draw_heat(frames, heat)), STRIP_HEIGHT) for heat in found.maps]
            drawn = [dict(word=word, picture=data_uri(jpeg(strip), JPEG)) for word, strip in zip(found.words, strips)]
            return dict(words=drawn, match=found.match)

        return self._about(path, draw)

    def search(self, text: str = '', path: str | None = None, k: int = 12) -> Answer:
        """Search in the gallery with a text, or with a picture or clip: ``results``, best first.

        Each has ``name`` (without the folder that all have in common), ``score`` (cosine similarity), ``modality``, and
        ``picture`` and ``clip``: where the page has a small copy, None where there is none. Texts have ``name`` and
        ``score`` alone.
        """
        if not isinstance(k, int) or not 1 <= k <= MAX_RESULTS:
            raise OmniVLValueError(f'the number of results is {k!r}, allowed are 1 to {MAX_RESULTS}')
        gallery = self.gallery
        if path is None:
            text = one_text(text, 'text to search for')
            if not is_text(text):  # the inferencer would open it
                raise OmniVLValueError(f'{text!r} is the name of a file or an address: describe what you look for')
            row = self._counted(lambda: self.inferencer.retrieve(text, gallery, k))
        else:
            row = self._about(path, lambda x, modality: self.inferencer.retrieve(x, gallery, k, modality=modality))
        return dict(row, results=[self._found(found) for found in row['results']])

    def _found(self, found: Answer) -> Answer:
        """Describe a result for those who may not see this machine's folders."""
        gallery = cast(Gallery, self.gallery)
        if gallery.kind == 'text':
            return dict(name=found['text'], score=found['score'])
        place = self.places[found['input']]
        visual = gallery.visuals[place]
        is_here = visual.path is not None and '://' not in visual.path
        has_time = MODALITIES[visual.modality].has_time
        return dict(
            name=self.shown_names[place],
            score=found['score'],
            modality=visual.modality,
            picture=f'media/{place}.jpg' if is_here else None,
            clip=f'media/{place}.mp4' if is_here and has_time else None,
        )

    def media(self, place: int, as_clip: bool) -> bytes | None:
        """Make the small copy of an item of the gallery, MP4 or JPEG; None where there is no such item.

        A file that is broken by now is a ``BrokenVisualError``.
        """
        if self.gallery is None or not 0 <= place < len(self.gallery.visuals):
            return None
        visual = self.gallery.visuals[place]
        if visual.path is None or '://' in visual.path or (as_clip and not MODALITIES[visual.modality].has_time):
            return None
        return small_clip(visual.path) if as_clip else thumbnail(visual.path, visual.modality)

    def preview(self, path: str) -> Answer:
        """Show an upload, once it is clear that it can be used: ``name``, ``picture`` and, for a clip, ``clip``.

        Both are addresses with the copy in them.
        """
        modality = self._checked(path)
        try:
            answer = dict(name=Path(path).name, picture=data_uri(thumbnail(path, modality), JPEG))
            return answer | (dict(clip=data_uri(small_clip(path), MP4)) if MODALITIES[modality].has_time else {})
        except BrokenVisualError as error:
            raise OmniVLValueError(f'{Path(path).name} cannot be used: {error.reason}') from error

    def facts(self) -> dict[str, str]:
        """Describe the model in a few lines: what is said, by what it is called."""
        model = self.inferencer.model
        known = model_facts(model)
        height, width = known.get('image_size', ('?', '?'))
        kinds = [MODALITIES[modality].plural for modality in self.inferencer.preparation.pipelines]
        frames = f', {known["num_frames"]} frames of a clip' if 'num_frames' in known else ''
        size = sum(parameter.numel() for parameter in model.parameters())
        facts = {
            'Model': self.name,
            'Task': type(model).__name__,
            'Checkpoint': self.checkpoint,
            'Looks at': f'{" and ".join(kinds)}, {height} x {width} pixels{frames}',
            'Parameters': f'{size / 1e6:.1f} M' if size > 1e6 else f'{size:,}',
        }
        if (tokenizer := tokenizer_of(model)) is not None:
            facts['Vocabulary'] = f'{tokenizer.vocab_size:,} word pieces'
        if self.gallery is not None:
            facts['Searches in'] = f'{len(self.gallery)} items'
        return facts | {'Takes': self.limits.described()}

    def health(self) -> Answer:
        """Say that it is alive: ``status``, ``model``, ``uptime_seconds``, ``answered`` and ``running``."""
        uptime = round(time.monotonic() - self.started, 1)
        counts = dict(answered=self.answered, running=self.running)
        return dict(status='ok', model=self.name, uptime_seconds=uptime, **counts)

    @cached_property
    def shown_names(self) -> list[str]:
        """Names of the gallery without the folder that all have in common, which is nobody's business."""
        names = cast(Gallery, self.gallery).names
        paths = [name for name in names if os.path.isabs(name)]
        common = os.path.commonpath([os.path.dirname(path) for path in paths]) if paths else ''
        return [os.path.relpath(name, common) if os.path.isabs(name) else name for name in names]

    def _checked(self, path: str) -> str:
        """Return the modality of an upload that the model can take."""
        modality, known = check_upload(path, self.limits), self.inferencer.preparation.pipelines
        if modality not in known:
            kinds = ' and '.join(MODALITIES[one].plural for one in known)
            raise OmniVLValueError(f'{Path(path).name} cannot be used: it is a {modality}, this model takes {kinds}')
        return modality

    def _about(self, path: str, do: Callable[[Path, str], Answer]) -> Answer:
        """Do a task on an upload, given its path and its modality."""
        modality = self._checked(path)
        row = self._counted(lambda: do(Path(path), modality))
        if 'error' in row:
            raise OmniVLValueError(f'{Path(path).name} cannot be used: {row["error"]}')
        return row

    def _counted(self, do: Callable[[], Answer]) -> Answer:
        """Do a task; what the model was given otherwise than it was typed is in ``notes``."""
        self.answered += 1
        self.running += 1
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter('ignore')
                warnings.filterwarnings('always', module=r'omnivl\.')
                row = do()
        finally:
            self.running -= 1
        own = {key: value for key, value in row.items() if key not in ('input', 'modality', 'left_out')}
        notes = list(dict.fromkeys(str(warning.message) for warning in caught))
        if len(notes) > MAX_NOTES:
            notes[MAX_NOTES:] = [f'and {len(notes) - MAX_NOTES} more like these']
        return own | (dict(notes=notes) if notes else {})
