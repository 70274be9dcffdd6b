"""The page, and the same tasks as named endpoints; what gradio is told, and nothing that computes."""

import functools
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from omnivl.errors import OmniVLError, OmniVLValueError
from omnivl.structures import MODALITIES
from omnivl.visualization.attention import KINDS

from . import show
from .content import Example
from .media import JPEG, data_uri
from .serving import Serving

KEPT_SECONDS = 3600  # an upload is deleted after it, and all of them when the page ends
FAILED = 'this went wrong inside ({}): the terminal of the page says more'
NOTHING = 'there is no picture or clip yet: drop one, or choose an example'
LIMITS = (
    'It knows what its training data showed and nothing else; what it writes is likely, not true.',
    'Nothing filters what it says. Do not decide about people by it.',
    'What is uploaded goes to the machine that serves this page and to no other; it is deleted after an hour or so, '
    'and when the page ends.',
)
# gradio's usual theme loads fonts, for which another host may be asked.
FONTS = ['system-ui', '-apple-system', 'Segoe UI', 'Roboto', 'sans-serif']
CLICK = """element.addEventListener('click', event => {
  const button = event.target.closest('button');
  if (button) trigger('click', {place: Number(button.dataset.place)});
});"""
# Writing packs the decoder that all share, see Serving: one call at a time, the others wait in the queue.
ONE_AT_A_TIME: dict[str, Any] = dict(concurrency_id='model', concurrency_limit=1)


def theme() -> gr.themes.Base:
    """Make the theme."""
    return gr.themes.Soft(primary_hue='indigo', font=FONTS, font_mono=['ui-monospace', 'monospace'])


def make_page(serving: Serving, examples: list[Example], max_waiting: int) -> gr.Blocks:
    """Make the page.

    Args:
        serving: What is behind it.
        examples: Pictures and clips to try, see ``take_examples``.
        max_waiting: Calls that may wait for the model; more are told that it is busy.

    Returns:
        The page with its endpoints.
    """
    with gr.Blocks(
        title=f'{serving.name} · omnivl', analytics_enabled=False, delete_cache=(KEPT_SECONDS // 6, KEPT_SECONDS)
    ) as page:
        gr.HTML(show.head(serving.name, [task.does for task in serving.offered]))
        with gr.Row():
            with gr.Column(scale=2, min_width=300):
                file = gr.File(
                    label='A picture or a clip',
                    file_types=list(MODALITIES),  # gradio calls kinds of files so, too
                    height=150,
                    elem_id='upload',
                )
                preview = gr.HTML(elem_id='preview')
                file.change(
                    safely(lambda path: show.preview(serving.preview(path)) if path else ''),
                    file,
                    preview,
                    api_visibility='private',
                )
                if examples:
                    _examples(examples, file)
            with gr.Column(scale=3, min_width=300), gr.Tabs():
                for task in serving.offered:
                    with gr.Tab(task.title, elem_id=f'tab-{task.name}'):
                        TABS[task.name](serving, file)
        with gr.Accordion('About this model', open=not serving.offered):
            gr.HTML(show.about(serving.facts(), serving.refused, LIMITS))
        add_endpoints(serving)
    return page.queue(max_size=max_waiting)


def line_of(error: Exception) -> str:
    """Return what a visitor is told of an error; a fault of the program goes to the terminal, with its traceback."""
    if isinstance(error, OmniVLError):
        return str(error)
    logging.getLogger('omnivl').error('the page could not do this', exc_info=error)
    return FAILED.format(type(error).__name__)


def safely(do: Callable[..., str]) -> Callable[..., str]:
    """Let what makes HTML show its errors in a line."""

    def shown(*inputs: Any) -> str:
        """Make the HTML."""
        try:
            return do(*inputs)
        except Exception as error:
            return show.error_box(line_of(error))

    return shown


def _examples(examples: list[Example], file: gr.File) -> None:
    """Add pictures to click on."""
    pictures = [(one.path.name, data_uri(one.picture, JPEG), one.is_clip) for one in examples]
    strip = gr.HTML(show.examples(pictures), js_on_load=CLICK, elem_id='examples')

    def choose(event: gr.EventData) -> str | None:
        place = event._data.get('place') if isinstance(event._data, dict) else None
        return str(examples[place].path) if isinstance(place, int) and 0 <= place < len(examples) else None

    strip.click(choose, None, file, api_visibility='private')


def _run(
    button: gr.Button, do: Callable[..., str], inputs: list[Any], out: gr.HTML, boxes: tuple[gr.Textbox, ...] = ()
) -> None:
    """Let a button, and Enter in a box of one line, do a task and show it."""
    triggers = [button.click, *(box.submit for box in boxes)]
    gr.on(triggers, safely(do), inputs, out, api_visibility='private', show_progress='minimal', **ONE_AT_A_TIME)


def _given(path: str | None) -> str:
    if path is None:
        raise OmniVLValueError(NOTHING)
    return path


def _caption_tab(serving: Serving, file: gr.File) -> None:
    button, out = gr.Button('Write a caption', variant='primary'), gr.HTML(elem_id='out-caption')
    _run(button, lambda path: show.caption(serving.caption(_given(path))), [file], out)


def _answer_tab(serving: Serving, file: gr.File) -> None:
    box = gr.Textbox(label='Question', placeholder='what colour is the circle?', lines=1)
    button, out = gr.Button('Answer', variant='primary'), gr.HTML(elem_id='out-answer')
    _run(button, lambda path, text: show.reply(serving.answer(_given(path), text)), [file, box], out, (box,))


def _match_tab(serving: Serving, file: gr.File) -> None:
    box = gr.Textbox(label='Texts, one a line', placeholder='a dog runs\na cat sleeps', lines=3)
    button, out = gr.Button('Compare', variant='primary'), gr.HTML(elem_id='out-match')
    _run(button, lambda path, text: show.matches(serving.match(_given(path), text)), [file, box], out)


def _classify_tab(serving: Serving, file: gr.File) -> None:
    box = gr.Textbox(label='Classes, with commas', placeholder='dog, cat, horse', lines=1, visible=not serving.has_head)
    button, out = gr.Button('Classify', variant='primary'), gr.HTML(elem_id='out-classify')

    def do(path: str | None, text: str) -> str:
        return show.classes(serving.classify(_given(path), text), serving.has_head)

    _run(button, do, [file, box], out, (box,))


def _attention_tab(serving: Serving, file: gr.File) -> None:
    box = gr.Textbox(label='A text about it', placeholder='a dog runs on the beach', lines=1)
    kind = gr.Radio(
        KINDS,
        value=KINDS[0],
        label='What is drawn',
        info='contrast: more than the other words; relevance: what counts for the match',
    )
    button, out = gr.Button('Show where it looks', variant='primary'), gr.HTML(elem_id='out-attention')

    def do(path: str | None, text: str, kind: str) -> str:
        return show.attention(serving.attention(_given(path), text, kind))

    _run(button, do, [file, box, kind], out, (box,))


def _search_tab(serving: Serving, file: gr.File) -> None:
    box = gr.Textbox(label='Search for', placeholder='a dog on the beach', lines=1)
    with gr.Row():
        by_text = gr.Button('Search by text', variant='primary')
        by_file = gr.Button('Search by the picture or clip')
    out = gr.HTML(elem_id='out-search')
    _run(by_text, lambda text: show.results(serving.search(text)), [box], out, (box,))
    _run(by_file, lambda path: show.results(serving.search(path=_given(path))), [file], out)


TABS: dict[str, Callable[[Serving, gr.File], None]] = {
    'caption': _caption_tab,
    'answer': _answer_tab,
    'match': _match_tab,
    'classify': _classify_tab,
    'attention': _attention_tab,
    'search': _search_tab,
}


def add_endpoints(serving: Serving) -> None:
    """Add the tasks that the model can do to the JSON interface, under their names."""

    def caption(visual: dict, method: str = '') -> dict:
        """Write a caption of an upload; method is greedy, beam or nucleus."""
        return serving.caption(_path_of(visual), method or None)

    def answer(visual: dict, question: str) -> dict:
        """Answer a question about an upload."""
        return serving.answer(_path_of(visual), question)

    def match(visual: dict, texts: list) -> dict:
        """Score how well texts fit an upload."""
        return serving.match(_path_of(visual), texts)

    def classify(visual: dict, classes: list = []) -> dict:  # noqa: B006, gradio shows it as the default
        """Find the class of an upload; a model with classes of its own needs none."""
        return serving.classify(_path_of(visual), classes)

    def search(text: str = '', visual: dict = {}, k: int = 12) -> dict:  # noqa: B006
        """Search in the index with a text or with an upload."""
        return serving.search(text, _path_of(visual) if visual else None, k)

    offered = {task.name for task in serving.offered}
    for do in (caption, answer, match, classify, search):
        if do.__name__ in offered:
            gr.api(told(do), api_name=do.__name__, **ONE_AT_A_TIME)


def told(do: Callable[..., dict]) -> Callable[..., dict]:
    """Let an endpoint tell its errors in a line."""

    @functools.wraps(do)
    def answered(*inputs: Any, **named: Any) -> dict:
        try:
            return do(*inputs, **named)
        except Exception as error:
            raise gr.Error(line_of(error), print_exception=False) from error

    return answered


def _path_of(visual: object) -> str:
    """Return the path of an upload; which files may be named, the gate has looked at."""
    path = visual.get('path') if isinstance(visual, dict) else None
    if not isinstance(path, str) or not Path(path).is_file():
        raise OmniVLValueError(f'visual is {{"path": ...}} of an upload that is still there, got {visual!r}')
    return path
