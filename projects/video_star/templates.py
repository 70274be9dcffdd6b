"""From labels to questions, and to the hint that rationalisation gives: a template for each type of label.

A config may give another list of questions, or register a template of its own type. '{about}' is what the label is of.
Which question is asked depends on the seed and on the clip alone.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from omnivl.errors import OmniVLValueError

from .labels import Label, LabelledClip, Question, verifier_of
from .registry import TEMPLATES

ABOUT = '{about}'


class Template:
    """Asks for one type of label.

    Args:
        questions: Its wordings; those with ``{about}`` are for labels that say what they are of. None = the usual ones.

    Attributes:
        usual: The usual wordings.
    """

    usual: Sequence[str] = ()

    def __init__(self, questions: Sequence[str] | None = None) -> None:
        self.questions = tuple(self.usual if questions is None else questions)
        if not self.questions:
            raise OmniVLValueError(f'{type(self).__name__}: there is no question; give at least one')

    def ask(self, label: Label, draw: int) -> str:
        """Word a question for a label; ``draw`` is any number."""
        fitting = [question for question in self.questions if (ABOUT in question) == bool(label.about)]
        if not fitting:
            what = f'about {label.about!r}' if label.about else f'without {ABOUT}'
            raise OmniVLValueError(
                f'{type(self).__name__} has no question {what}; add one to questions, or change the labels'
            )
        return fitting[draw % len(fitting)].replace(ABOUT, label.about)

    def tell(self, label: Label) -> str:
        """Say a label in words."""
        return str(label.value)


@TEMPLATES.register_module(name='class')
class ClassTemplate(Template):
    """The class of a clip."""

    usual = (
        'What is happening in this video?',
        'Which action is shown in this video?',
        'What activity does this clip show?',
        'What is being done here?',
        'What is {about}?',
        'What does the video show of {about}?',
    )


@TEMPLATES.register_module(name='time_range')
class TimeRangeTemplate(Template):
    """A part of a clip, in shares of it."""

    usual = (
        'When does this happen: {about}? Give start and end as shares of the video, from 0 to 1.',
        'From when until when is this seen: {about}? Give two numbers from 0 to 1.',
    )

    def tell(self, label: Label) -> str:
        """Say it as a range."""
        return f'from {label.value[0]:.2f} to {label.value[1]:.2f}'


@TEMPLATES.register_module(name='seconds_range')
class SecondsRangeTemplate(Template):
    """A part of a clip, in seconds."""

    usual = ('When does this happen: {about} Give start and end in seconds.', 'From which second until which: {about}')

    def tell(self, label: Label) -> str:
        """Say it as a range."""
        return f'from {label.value[0]:.1f} to {label.value[1]:.1f} seconds'


@TEMPLATES.register_module(name='time_stamp')
class TimeStampTemplate(Template):
    """A point in time, as a share of the clip."""

    usual = (
        'At which point of the video, from 0 to 1, does this happen: {about}?',
        'At which moment, as a share of the video, is this seen: {about}?',
    )

    def tell(self, label: Label) -> str:
        """Say it as a time."""
        return f'at {label.value:.2f}'


@TEMPLATES.register_module(name='number')
class NumberTemplate(Template):
    """A number, such as a score."""

    usual = ('What is the {about}? Give a number.', 'Which number is the {about}?')

    def tell(self, label: Label) -> str:
        """Say it in digits."""
        return f'{label.value:g}'


@TEMPLATES.register_module(name='box')
class BoxTemplate(Template):
    """A box, in shares of the picture."""

    usual = ('Where is the {about}? Give its box as [x, y, width, height] with its centre, in numbers from 0 to 1.',)

    def tell(self, label: Label) -> str:
        """Say it in brackets."""
        return '[' + ', '.join(f'{value:.2f}' for value in label.value) + ']'


@TEMPLATES.register_module(name='yes_no')
class YesNoTemplate(Template):
    """Whether something is so."""

    usual = ('Is this seen in the video: {about}?', 'Is this true of the video: {about}?')

    def tell(self, label: Label) -> str:
        """Say yes or no."""
        return label.value if isinstance(label.value, str) else ('yes' if label.value else 'no')


@TEMPLATES.register_module(name='same')
class SameTemplate(Template):
    """Whether things are the same."""

    usual = ('Are {about} the same?', 'Is there a difference between {about}?')

    def tell(self, label: Label) -> str:
        """Say it as a sentence."""
        is_same = label.value if isinstance(label.value, bool) else ' not ' not in f' {label.value} '
        return 'they are the same' if is_same else 'they are not the same'


@TEMPLATES.register_module(name='words')
class WordsTemplate(Template):
    """A thing, a word or a few."""

    usual = ('What is seen in this video?', 'What is {about}?')


@TEMPLATES.register_module(name='sentence')
class SentenceTemplate(Template):
    """A sentence about the clip."""

    usual = ('Describe what happens in this video.', 'What is told by this clip?', 'Describe {about}.')


class SequenceTemplate(Template):
    """What comes after each other."""

    joint = ', then '

    def tell(self, label: Label) -> str:
        """Say one after the other."""
        return self.joint.join(str(one).strip().rstrip('.') for one in label.value)


@TEMPLATES.register_module(name='classes')
class ClassesTemplate(SequenceTemplate):
    """Classes in their order."""

    usual = (
        'Which actions are shown, in their order?',
        'What happens first, and what comes after it?',
        'Which steps of {about} are seen, in their order?',
    )


@TEMPLATES.register_module(name='order')
class OrderTemplate(SequenceTemplate):
    """The order of things that the question names."""

    usual = ('In which order do these happen: {about}?', 'What comes first and what later: {about}?')


@TEMPLATES.register_module(name='sentences')
class SentencesTemplate(SequenceTemplate):
    """Sentences in their order."""

    joint = '. Then '
    usual = ('Describe what happens, step by step.', 'Describe {about}, step by step.')


class Asker:
    """Makes questions of labelled clips.

    Args:
        templates: Type of label -> what its template is changed by, as ``dict(number=dict(questions=[...]))``; ``type``
            in it names another template.
        verifiers: Type of label -> config of its verifier.
        seed: Decides the wordings.
    """

    def __init__(
        self,
        templates: Mapping[str, Mapping[str, Any]] | None = None,
        verifiers: Mapping[str, Mapping[str, Any]] | None = None,
        seed: int = 0,
    ) -> None:
        self.templates = dict(templates or {})
        self.verifiers = dict(verifiers or {})
        self.seed = seed
        self.built: dict[str, Template] = {}

    def template(self, kind: str) -> Template:
        """Build the template of a type of label, once."""
        if kind not in self.built:
            name = self.templates.get(kind, {}).get('type', kind)
            if name not in TEMPLATES:
                raise OmniVLValueError(
                    f'there is no template for labels of type {kind!r}; there are {", ".join(sorted(known()))}; '
                    'register one in TEMPLATES, or name one in templates'
                )
            self.built[kind] = TEMPLATES.build(dict(dict(self.templates.get(kind, {})), type=name))
        return self.built[kind]

    def questions(self, clips: Iterable[LabelledClip], source: str) -> Iterator[Question]:
        """Make questions: one for each label, or the data set's own for all labels of a clip together."""
        for clip in clips:
            groups = [clip.labels] if clip.question is not None else [[label] for label in clip.labels]
            for place, labels in enumerate(groups):
                key = f'{source}/{clip.id}' + (f'/{place}' if len(groups) > 1 else '')
                draw = int(hashlib.sha256(f'{self.seed} {key}'.encode()).hexdigest()[:8], 16)
                first = self.template(labels[0].type)
                yield Question(
                    id=key,
                    video=clip.video,
                    clip=clip.clip,
                    text=first.ask(labels[0], draw) if clip.question is None else clip.question,
                    labels=tuple(labels),
                    hint='; '.join(self.template(label.type).tell(label) for label in labels),
                    verifiers=tuple(verifier_of(label, self.verifiers) for label in labels),
                )


def known() -> list[str]:
    """Name the types of labels that have a template."""
    TEMPLATES.import_from_location()
    return list(TEMPLATES.module_dict)
