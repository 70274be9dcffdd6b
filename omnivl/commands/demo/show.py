"""The HTML of what is found; every text of a visitor or a model is escaped here."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

Answer = Mapping[str, Any]


def head(name: str, abilities: Sequence[str]) -> str:
    """Show the title of the page, and what the model can do."""
    *some, last = abilities or ['do nothing here']
    what = f'{", ".join(some)} and {last}' if some else last
    about = f'A model of pictures, clips and language. Drop a picture or a clip: it can {what}.'
    return f'<div class="omnivl-head"><h1>{escape(name)}</h1><p>{escape(about)}</p></div>'


def examples(pictures: Iterable[tuple[str, str, bool]]) -> str:
    """Show examples to click on: the name of each, the address of its picture, and whether it is a clip."""
    buttons = [
        f'<button type="button" data-place="{place}" title="{escape(name)}"{" class=omnivl-clip" if is_clip else ""}>'
        f'<img src="{picture}" alt="{escape(name)}"></button>'
        for place, (name, picture, is_clip) in enumerate(pictures)
    ]
    return f'<p class="omnivl-soft">or try one of these</p><div class="omnivl-examples">{"".join(buttons)}</div>'


def error_box(message: str) -> str:
    """Show an error in its line."""
    return f'<div class="omnivl-error" role="alert">{escape(message)}</div>'


def with_notes(html: str, answer: Answer) -> str:
    """Put what is to be said of an answer under it."""
    notes = ''.join(f'<p class="omnivl-note">{escape(note)}</p>' for note in answer.get('notes', ()))
    return f'<div class="omnivl-answer" aria-live="polite">{html}{notes}</div>'


def sentence(text: str, under: str = '') -> str:
    """Show a sentence that the model wrote, and what it is about under it."""
    about = f'<p class="omnivl-soft">{escape(under)}</p>' if under else ''
    return f'<p class="omnivl-sentence">{escape(text) or "(no word)"}</p>{about}'


def bars(rows: Iterable[tuple[str, float, str]]) -> str:
    """Show rows of a name, the filled share of its bar (0 to 1), and the figure behind it."""
    lines = [
        f'<li><span class="omnivl-name">{escape(name)}</span><span class="omnivl-figure">{escape(figure)}</span>'
        f'<span class="omnivl-bar"><span style="width:{100 * min(max(share, 0), 1):.1f}%"></span></span></li>'
        for name, share, figure in rows
    ]
    return f'<ol class="omnivl-bars">{"".join(lines)}</ol>'


def caption(answer: Answer) -> str:
    """Show a caption."""
    return with_notes(sentence(answer['caption']), answer)


def reply(answer: Answer) -> str:
    """Show the answer to a question."""
    return with_notes(sentence(answer['answer'], f'to “{answer["question"]}”'), answer)


def matches(answer: Answer) -> str:
    """Show how well texts fit."""
    rows = [
        (one['text'], one['score'], f'{100 * one["score"]:.1f} %  ·  similarity {one["similarity"]:.2f}')
        for one in answer['matches']
    ]
    return with_notes(bars(rows) + '<p class="omnivl-soft">The bar is the probability of a match.</p>', answer)


def classes(answer: Answer, by_head: bool) -> str:
    """Show the best classes: with their probabilities if the model has a head, or else with similarities."""
    if by_head:
        rows = [(name, score, f'{100 * score:.1f} %') for name, score in answer['scores'].items()]
        about = 'The bar is the probability of the class.'
    else:
        rows = [(name, (1 + score) / 2, f'similarity {score:.2f}') for name, score in answer['scores'].items()]
        about = 'The bar is the cosine similarity, from -1 to 1; only the order means something.'
    return with_notes(bars(rows) + f'<p class="omnivl-soft">{about}</p>', answer)


def attention(answer: Answer) -> str:
    """Show where the model looks for each word."""
    cards = [
        f'<figure><img src="{word["picture"]}" alt="where the model looks for {escape(word["word"])}">'
        f'<figcaption>{escape(word["word"])}</figcaption></figure>'
        for word in answer['words']
    ]
    about = f'Bright is where it looks; of a clip, frame by frame. Match of the text: {100 * answer["match"]:.0f} %.'
    return with_notes(f'<div class="omnivl-words">{"".join(cards)}</div><p class="omnivl-soft">{about}</p>', answer)


def results(answer: Answer) -> str:
    """Show what a search found: pictures, players for clips, or texts."""
    cards = [
        f'<figure>{_visual(found)}<figcaption>{escape(found["name"])} '
        f'<span class="omnivl-soft">{found["score"]:.2f}</span></figcaption></figure>'
        for found in answer['results']
    ]
    about = '<p class="omnivl-soft">Best first; the figure is the cosine similarity.</p>'
    return with_notes(f'<div class="omnivl-results">{"".join(cards)}</div>{about}', answer)


def preview(answer: Answer) -> str:
    """Show what was uploaded."""
    return f'<figure class="omnivl-preview">{_visual(answer)}</figure>'


def about(facts: Mapping[str, str], refused: Mapping[str, str], limits: Iterable[str]) -> str:
    """Describe the model: facts, what it cannot do and why, and what to keep in mind."""
    rows = ''.join(f'<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>' for name, value in facts.items())
    parts = [f'<table>{rows}</table>']
    for heading, lines in (
        ('What this model cannot do', [f'<b>{escape(name)}</b>: {escape(why)}' for name, why in refused.items()]),
        ('Keep in mind', [escape(line) for line in limits]),
    ):
        if lines:
            parts.append(f'<h3>{heading}</h3><ul>{"".join(f"<li>{line}</li>" for line in lines)}</ul>')
    return f'<div class="omnivl-about">{"".join(parts)}</div>'


def _visual(found: Answer) -> str:
    name, picture, clip = escape(found['name']), found.get('picture'), found.get('clip')
    if clip:
        return f'<video src="{clip}" poster="{picture}" controls loop muted playsinline preload="none"></video>'
    return f'<img src="{picture}" alt="{name}" loading="lazy">' if picture else ''
