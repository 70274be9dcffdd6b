"""The forty questions: each answer leads to a page, to a heading of it, and to a test that there is."""

import ast
import re

from doc_pages import ROOT

PAGE = ROOT / 'docs/features.md'
ANSWER = r'^\| (\d+) \| (.+?) \| \*\*(yes|no|partly)\*\*: (.+?) '
ROW = re.compile(ANSWER + r'\[[^\]]+\]\(([^)]+)\), \[test\]\((\S+) "(\w+)"\) \|$')
MADE = ('reference/commands.md', 'reference/experiments.md')  # when the documentation is built


def headings(text: str) -> set[str]:
    """The anchors that MyST and GitHub give to the headings of a page."""
    titles = re.findall(r'^#{1,3} (.+)$', re.sub(r'^```.*?^```', '', text, flags=re.M | re.S), re.M)
    return {re.sub(r'[^\w\- ]', '', title.lower()).replace(' ', '-') for title in titles}


def test_there_are_forty_rows_that_lead_somewhere():
    lines = [line for line in PAGE.read_text().splitlines() if re.match(r'\| \d', line)]
    rows = [ROW.match(line) for line in lines]
    assert all(rows), [line for line, row in zip(lines, rows) if not row]
    assert [int(row[1]) for row in rows] == list(range(1, 41))
    for number, _, _, _, target, file, test in (row.groups() for row in rows):
        page, _, anchor = target.partition('#')
        assert page in MADE or (PAGE.parent / page).is_file(), (number, page)
        assert not anchor or anchor in headings((PAGE.parent / page).read_text()), (number, target)
        tree = ast.parse((PAGE.parent / file).read_text())
        assert test in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}, (number, test)


def test_some_answers_are_no():
    """A table of praise would help nobody."""
    answers = [row[3] for line in PAGE.read_text().splitlines() if (row := ROW.match(line))]
    assert answers.count('no') + answers.count('partly') >= 6
