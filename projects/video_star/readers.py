"""Readers of published label files: each yields labelled clips, of which ``templates.py`` makes questions."""

import pickle
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from omnivl.datasets.annotations import AnnotationReader
from omnivl.datasets.annotations.files import iter_json_list, iter_json_rows, read_json, require_file
from omnivl.registry import ANNOTATIONS
from omnivl.structures import VIDEO

from .labels import Label, LabelledClip
from .registry import LABEL_READERS

# What pickles of arrays and plain values name; any other name would be code of a stranger.
HARMLESS = re.compile(r'numpy(\._?core)?(\.multiarray)?\.(_reconstruct|scalar|ndarray|dtype)$')


class LabelReader(AnnotationReader):
    """A reader that yields :class:`LabelledClip`; all else is the library's."""

    modality = VIDEO.name


@LABEL_READERS.register_module()
class RecordLabels(LabelReader):
    """Take the classes of any reader of the library, as of Kinetics-700 (``KineticsCSV``) or UCF-101.

    Args:
        annotations: Config of the reader.
        about: What the class is of, for the question; '' = the whole clip.
    """

    def __init__(self, annotations: Mapping[str, Any], about: str = '') -> None:
        super().__init__('', '')
        self.records = ANNOTATIONS.build(dict(annotations))
        self.about = about

    def read(self) -> Iterator[LabelledClip]:
        """Yield a clip for each record."""
        names = dict(zip(self.records.classes or (), self.records.class_names or ()))
        for record in self.records:
            label = Label('class', names.get(record.label, record.label), self.about, name='class')
            yield LabelledClip(record.id, record.visual, [label], record.clip)


@LABEL_READERS.register_module()
class QuestionLabels(LabelReader):
    """Take questions with answers, ``VideoQAList`` or ``RecordList``, whose answers are labels of one type.

    Args:
        annotations: Config of the reader.
        label: Type of the answers.
        pattern: Regular expression of the questions that are taken; None = all.
        verifier: Config of the verifier; None = that of the type.
    """

    def __init__(
        self,
        annotations: Mapping[str, Any],
        label: str = 'words',
        pattern: str | None = None,
        verifier: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__('', '')
        self.records = ANNOTATIONS.build(dict(annotations))
        self.label = label
        self.pattern = pattern
        self.verifier = verifier

    def read(self) -> Iterator[LabelledClip]:
        """Yield a clip for each question, with the answer that most people gave."""
        for record in self.records:
            if self.pattern is not None and not re.search(self.pattern, record.question):
                continue
            answer = max(record.answers, key=record.answers.count)
            label = Label(self.label, answer, verifier=self.verifier)
            yield LabelledClip(record.id, record.visual, [label], record.clip, record.question)


@LABEL_READERS.register_module()
class STARBenchmark(LabelReader):
    """Read ``STAR_train.json``: ``[{question_id, question, video_id, start, end, answer, ...}]``, on Charades' videos.

    Each question is about its part of the video. ``when=True`` asks beside it for that part of the whole video, in
    seconds, since the file knows no durations.

    Args:
        ann_file: The JSON file.
        visual_root: Folder of the videos.
        when: See above.
        path_template: Where a video lies; placeholder ``video_id``.
    """

    placeholders = dict(video_id='')

    def __init__(
        self, ann_file: str, visual_root: str, when: bool = False, path_template: str = '{video_id}.mp4'
    ) -> None:
        super().__init__(ann_file, visual_root, path_template=path_template)
        self.when = when

    def read(self) -> Iterator[LabelledClip]:
        """Yield a clip for each question, and one for each part."""
        for row, item in iter_json_list(self.ann_file, 'STAR_train.json is a list'):
            name = self.value(item, 'question_id', str, row)
            video = self.path(self.fill_template(video_id=self.value(item, 'video_id', str, row)))
            question, answer = (self.value(item, key, str, row) for key in ('question', 'answer'))
            part = tuple(float(self.value(item, key, (int, float), row)) for key in ('start', 'end'))
            yield LabelledClip(name, video, [Label('words', answer, name='answer')], part, question)
            if self.when:
                about = f'{question} {answer}'
                yield LabelledClip(f'{name}/when', video, [Label('seconds_range', list(part), about, 'temporal_range')])


@LABEL_READERS.register_module()
class FineDiving(LabelReader):
    """Read ``FineDiving_fine-grained_annotation.pkl``: ``{(event, number): {dive_score, difficulty, ...}}``.

    Labels are the score, the difficulty and the steps in the order of their frames. The pickle is read without running
    code. The step 22, which has no name in some rows, is 23 there, as the published code of Video-STaR takes it.

    Args:
        ann_file: The pickle.
        visual_root: Folder of the clips, made of the published frames.
        split_file: ``train_split.pkl`` or ``test_split.pkl``, a list of (event, number); None = all.
        path_template: Where a clip lies; placeholders ``event`` and ``number``.
    """

    placeholders = dict(event='', number=0)

    def __init__(
        self,
        ann_file: str,
        visual_root: str,
        split_file: str | None = None,
        path_template: str = '{event}_{number}.mp4',
    ) -> None:
        super().__init__(ann_file, visual_root, path_template=path_template)
        self.split_file = split_file

    def read(self) -> Iterator[LabelledClip]:
        """Yield a clip for each dive."""
        allowed = None
        if self.split_file is not None:
            require_file(self.split_file, 'split_file', 'FineDiving')
            allowed = {tuple(key) for key in self._unpickle(self.split_file)}
        for key, item in self._unpickle(self.ann_file).items():
            if allowed is not None and tuple(key) not in allowed:
                continue
            event, number = key
            place = f'{event} {number}'
            numbers = [float(self.value(item, name, (int, float), place)) for name in ('dive_score', 'difficulty')]
            yield LabelledClip(
                f'{event}_{number}',
                self.path(self.fill_template(event=event, number=number)),
                [
                    Label('number', numbers[0], 'score of this dive', 'final_score'),
                    Label('number', numbers[1], 'difficulty of this dive', 'action_difficulty'),
                    Label('classes', self._steps(item, place), 'the dive', 'action_sequence'),
                ],
            )

    def _steps(self, item: Mapping[str, Any], place: str) -> list[str]:
        """Return the steps, each once, in the order of their first frames."""
        names = {int(key): name for key, name in self.value(item, 'sub-action_types', dict, place).items()}
        steps = []
        if 'frames_labels' not in item:
            raise self.error(place, 'frames_labels', f'the field is missing; the row has {sorted(item)}')
        for label in dict.fromkeys(int(label) for label in item['frames_labels']):
            name = names.get(label, names.get(23) if label == 22 else None)
            if name is None:
                raise self.error(place, 'frames_labels', f'step {label} has no name in sub-action_types')
            steps.append(name)
        return steps

    def _unpickle(self, path: str) -> Any:
        reader = self

        class PlainUnpickler(pickle.Unpickler):
            """Finds arrays and nothing else."""

            def find_class(self, module: str, name: str) -> Any:
                """Find what a pickle names."""
                if HARMLESS.match(f'{module}.{name}'):
                    return super().find_class(module, name)
                raise reader.error(None, None, f'the pickle would run {module}.{name}, so it is not read')

        with open(path, 'rb') as file:
            try:
                return PlainUnpickler(file).load()
            except (pickle.UnpicklingError, AttributeError, EOFError, ImportError, IndexError, KeyError) as error:
                raise self.error(None, None, f'this is no pickle: {error}') from error


@LABEL_READERS.register_module()
class MOMA(LabelReader):
    """Read MOMA-LRG's ``anns.json``: ``[{file_name, width, height, activity: {id, class_name, sub_activities}}]``.

    The clip is the activity; its labels are the class, the sub-activities in their order, the part of each (in shares
    of the activity), and the box of who acts, as centre, width and height. What nobody could tell ('unsure',
    'unclassified') is left out.

    Args:
        ann_file: The JSON file.
        visual_root: Folder of the raw videos.
        boxes: The most boxes of an activity.
        path_template: Where a video lies; placeholder ``file_name``.
    """

    placeholders = dict(file_name='')

    def __init__(self, ann_file: str, visual_root: str, boxes: int = 1, path_template: str = '{file_name}') -> None:
        super().__init__(ann_file, visual_root, path_template=path_template)
        self.boxes = boxes

    def read(self) -> Iterator[LabelledClip]:
        """Yield a clip for each activity."""
        for row, item in iter_json_list(self.ann_file, "MOMA-LRG's anns.json is a list"):
            activity = self.value(item, 'activity', dict, row)
            name = self.value(activity, 'id', str, row)
            start, end = (float(self.value(activity, key, (int, float), row)) for key in ('start_time', 'end_time'))
            if end <= start:
                raise self.error(row, 'activity', f'expected end_time after start_time, got {start} and {end}')
            parts = [
                (self.value(part, 'class_name', str, row), self._share(part, start, end, row), part)
                for part in activity.get('sub_activities', ())
            ]
            parts = [part for part in parts if is_sure(part[0])]
            labels = [Label('class', self.value(activity, 'class_name', str, row), name='activity')]
            order = [part[0] for part in sorted(parts, key=lambda part: part[1])]
            if len(order) > 1 and len(set(order)) == len(order):
                labels.append(Label('classes', order, name='action_sequence'))
            once = [part for part in parts if order.count(part[0]) == 1]
            labels += [Label('time_range', list(share), about, 'temporal_range') for about, share, _ in once]
            labels += self._boxes(item, [part for _, _, part in parts], start, end, row)
            yield LabelledClip(
                name,
                self.path(self.fill_template(file_name=self.value(item, 'file_name', str, row))),
                [label for label in labels if is_sure(str(label.value))],
                (start, end),
            )

    def _share(self, part: Mapping[str, Any], start: float, end: float, row: int) -> tuple[float, float]:
        times = [float(self.value(part, key, (int, float), row)) for key in ('start_time', 'end_time')]
        first, last = ((min(max(time, start), end) - start) / (end - start) for time in times)
        return round(first, 3), round(last, 3)

    def _boxes(
        self, item: Mapping[str, Any], parts: Sequence[Mapping[str, Any]], start: float, end: float, row: int
    ) -> list[Label]:
        found: list[Label] = []
        for moment in (moment for part in parts for moment in part.get('higher_order_interactions', ())):
            actors = moment.get('actors', ())
            names = [actor['class_name'] for actor in actors]
            for actor in actors:
                if len(found) == self.boxes:
                    return found
                if names.count(actor['class_name']) > 1:
                    continue  # 'the player' is several
                width, height = (float(self.value(item, key, (int, float), row)) for key in ('width', 'height'))
                x, y, w, h = actor['bbox'] if isinstance(actor['bbox'], list) else actor['bbox'].values()
                box = [round((x + w / 2) / width, 3), round((y + h / 2) / height, 3), w / width, h / height]
                share = (float(moment['time']) - start) / (end - start)
                about = f'{actor["class_name"]} at {share:.2f} of the video'
                found.append(Label('box', [round(value, 3) for value in box], about, 'bbox'))
        return found


def is_sure(text: str) -> bool:
    """Say whether a label of MOMA tells something."""
    return 'unsure' not in text and 'unclassified' not in text


@LABEL_READERS.register_module()
class SomethingSomethingLabels(LabelReader):
    """Read ``something-something-v2-{train,validation}.json``: ``[{id, label, template, placeholders}]``.

    Labels are the sentence, and the things that fill the template, which the question tells. ``RecordLabels`` with
    ``SomethingSomethingJSON`` has the classes.

    Args:
        ann_file: The JSON file.
        visual_root: Folder of the videos.
        path_template: Where a video lies; placeholder ``id``.
    """

    placeholders = dict(id='')

    def __init__(self, ann_file: str, visual_root: str, path_template: str = '{id}.webm') -> None:
        super().__init__(ann_file, visual_root, path_template=path_template)

    def read(self) -> Iterator[LabelledClip]:
        """Yield two clips for each row: what happens, and with what."""
        for row, item in iter_json_list(self.ann_file, 'something-something-v2-train.json is a list'):
            name = str(self.value(item, 'id', (str, int), row))
            video = self.path(self.fill_template(id=name))
            sentence = self.value(item, 'label', str, row)
            yield LabelledClip(name, video, [Label('sentence', sentence, name='relationship')])
            things = self.value(item, 'placeholders', list, row)
            if things:
                question = f'Which things fill the gaps: {self.value(item, "template", str, row)}?'
                labels = [Label('words', thing, name=f'object_{place}') for place, thing in enumerate(things)]
                yield LabelledClip(f'{name}/things', video, labels, question=question)


@LABEL_READERS.register_module()
class EgoExo4D(LabelReader):
    """Read Ego-Exo4D's ``atomic_descriptions_*.json`` or ``proficiency_demonstrator_*.json``, with ``takes.json``.

    Of descriptions, the clip is ``seconds`` around the time stamp, seen by the camera that is said to see it best, else
    by the camera that is worn; 'C' is whoever wears it. Rejected and unsure ones are left out, as are takes that
    takes.json has not. Of demonstrators, the label is the class of their proficiency ('Late Expert').

    Args:
        ann_file: One of the two.
        visual_root: Folder of ``takes/``.
        takes_file: ``takes.json``.
        seconds: Length of the clip of a description.
        path_template: Where a video lies; placeholders ``root_dir`` and ``relative_path``. Downscaled videos lie below
            ``frame_aligned_videos/downscaled/448``.
    """

    placeholders = dict(root_dir='', relative_path='')

    def __init__(
        self,
        ann_file: str,
        visual_root: str,
        takes_file: str,
        seconds: float = 4.0,
        path_template: str = '{root_dir}/{relative_path}',
    ) -> None:
        super().__init__(ann_file, visual_root, path_template=path_template)
        self.takes_file = takes_file
        self.seconds = seconds

    def read(self) -> Iterator[LabelledClip]:
        """Yield a clip for each description, or for each take."""
        require_file(self.takes_file, 'takes_file', 'EgoExo4D')
        takes = {take['take_uid']: take for _, take in iter_json_rows(self.takes_file)}
        annotations = read_json(self.ann_file).get('annotations')
        if isinstance(annotations, dict):
            yield from self._descriptions(annotations, takes)
        elif isinstance(annotations, list):
            yield from self._demonstrators(annotations, takes)
        else:
            raise self.error(None, 'annotations', 'expected an object of takes, or a list of demonstrators')

    def _descriptions(self, annotations: Mapping[str, Any], takes: Mapping[str, Any]) -> Iterator[LabelledClip]:
        for uid, rounds in annotations.items():
            if uid not in takes:
                continue  # of a take that is not out
            told = (one for part in rounds if not part.get('rejected') for one in part['descriptions'])
            for place, one in enumerate(one for one in told if not one.get('unsure')):
                time = float(self.value(one, 'timestamp', (int, float), uid))
                text = re.sub(r'\bC\b', 'the camera wearer', self.value(one, 'text', str, uid))
                camera = (one.get('best_exo') or {}).get('cam_id')
                clip = (max(0.0, time - self.seconds / 2), time + self.seconds / 2)
                label = Label('sentence', text, name='atomic_description')
                yield LabelledClip(f'{uid}/{place}', self._video(takes[uid], camera), [label], clip)

    def _demonstrators(self, annotations: Sequence[Any], takes: Mapping[str, Any]) -> Iterator[LabelledClip]:
        for row, one in enumerate(annotations):
            uid = self.value(one, 'take_uid', str, row)
            if uid not in takes:
                continue
            about = f'the level of skill in {self.value(one, "scenario_name", str, row)}'
            label = Label('class', self.value(one, 'proficiency_score', str, row), about, 'proficiency')
            yield LabelledClip(uid, self._video(takes[uid], None), [label])

    def _video(self, take: Mapping[str, Any], camera: str | None) -> str:
        """Return the video of a camera that looks on, or of the one that is worn."""
        cameras = self.value(take, 'frame_aligned_videos', dict, take['take_uid'])
        if camera in cameras:
            relative = cameras[camera]['0']['relative_path']
        else:
            worn = next((streams['rgb'] for name, streams in cameras.items() if 'aria' in name.lower()), None)
            relative = self.value(worn, 'relative_path', str, take['take_uid'])
        return self.path(self.fill_template(root_dir=take['root_dir'], relative_path=relative))
