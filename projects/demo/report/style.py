"""The style sheet of the report: light and dark, narrow and wide, nothing loaded from elsewhere."""

STYLE = """
:root { color-scheme: light dark; --font: system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', sans-serif;
  --page: #f7f7f5; --card: #ffffff; --ink: #1c2024; --soft: #5d666f; --line: #e2e3e0;
  --image: #0f766e; --video: #b4540a; --both: #5b5bd6; --good: #15803d; --bad: #b91c1c; --mark: #1c2024; }
@media (prefers-color-scheme: dark) { :root { --page: #121416; --card: #1b1e21; --ink: #eceef0; --soft: #9aa4ae;
  --line: #31363b; --image: #2dd4bf; --video: #fb923c; --both: #a5a5ff; --good: #4ade80; --bad: #f87171;
  --mark: #ffffff; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.55 var(--font); }
main { max-width: 1080px; margin: 0 auto; padding: 2rem 1.1rem 4rem; }
h1 { font-size: clamp(1.7rem, 5vw, 2.5rem); line-height: 1.15; margin: .2rem 0 .8rem; letter-spacing: -.02em; }
h2 { font-size: 1.4rem; margin: 3rem 0 .4rem; letter-spacing: -.01em; }
h3 { font-size: 1.05rem; margin: 1.4rem 0 .6rem; }
.card > h3:first-child { margin-top: 0; }
p { margin: .4rem 0 .8rem; max-width: 70ch; }
.lead { font-size: 1.12rem; }
.soft, .note, .key, figcaption, caption { color: var(--soft); }
.note, .key { font-size: .86rem; margin: .15rem 0 .6rem; }
.nowrap { white-space: nowrap; }
nav { font-size: .9rem; display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; margin: 1.2rem 0; }
a { color: var(--both); text-decoration: none; } a:hover { text-decoration: underline; }
.banner { border: 1px solid var(--bad); color: var(--bad); border-radius: 8px; padding: .5rem .9rem; max-width: none;
  }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 1rem 1.1rem;
  min-width: 0; }
.two, .charts, .parts, .grid-queries, .captions { display: grid; gap: 1rem; }
.two { grid-template-columns: repeat(auto-fit, minmax(min(100%, 400px), 1fr)); }
.charts { grid-template-columns: repeat(auto-fit, minmax(min(100%, 310px), 1fr)); }
.parts { grid-template-columns: repeat(auto-fit, minmax(min(100%, 230px), 1fr)); }
.grid-queries { grid-template-columns: repeat(auto-fit, minmax(min(100%, 480px), 1fr)); }
.captions { grid-template-columns: repeat(auto-fit, minmax(min(100%, 480px), 1fr)); }
.image { --accent: var(--image); } .video { --accent: var(--video); }
.card.image > h3, .card.video > h3 { color: var(--accent); }

.measure { margin-top: .8rem; }
.line { display: flex; justify-content: space-between; align-items: baseline; }
.value { font-variant-numeric: tabular-nums; font-weight: 700; }
.measure .value { font-size: 1.35rem; }
.track { position: relative; height: 12px; border-radius: 6px; background: var(--line); margin: .25rem 0; }
.track.thin { height: 9px; margin: 0; }
.fill { display: block; height: 100%; border-radius: 6px; background: var(--accent, var(--both)); }
.mark { position: absolute; top: -4px; bottom: -4px; width: 0; border-left: 2px solid var(--mark); }
.mark.chance { border-left-style: dotted; }
.key .mark { position: relative; display: inline-block; height: 1em; top: .15em; margin: 0 .4em 0 .8em; }
.key .mark:first-child { margin-left: .2em; }
.pair { padding: .55rem 0; border-bottom: 1px solid var(--line); display: grid; gap: .2rem 1rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 260px), 1fr)); } .pair:last-child { border: 0; }
.pair b { font-weight: 500; }
.pairbars { display: grid; grid-template-columns: 1fr 4rem; align-items: center; gap: 3px 10px; font-size: .86rem; }
.pairbars .value { font-weight: 500; text-align: right; }
.unseen .fill { opacity: .5; }

.part b { display: block; } .part .count { float: right; color: var(--soft); font-variant-numeric: tabular-nums; }
.part p { font-size: .9rem; margin: .3rem 0 0; }
.time { display: flex; height: 26px; border-radius: 8px; overflow: hidden; margin: .6rem 0 .5rem; }
.time span { min-width: 2px; border-right: 1px solid var(--card); }
ul.legend { list-style: none; display: flex; flex-wrap: wrap; gap: .1rem 1.3rem; margin: 0; padding: 0;
  font-size: .88rem; }
.dot { display: inline-block; width: .7em; height: .7em; border-radius: 50%; margin-right: .45em; }

.chart h3 { margin: 0 0 .1rem; } .chart svg { width: 100%; height: auto; display: block; }
  .chart .note { margin: 0 0 .4rem; }
.quote { font-weight: 600; margin: 0 0 .6rem; } .quote::before { content: '“'; } .quote::after { content: '”'; }
img { display: block; border-radius: 5px; height: auto; max-width: 100%; background: var(--line); }
figure { margin: 0; } figcaption { font-size: .76rem; line-height: 1.3; margin-top: .25rem; }
.hits.image { display: grid; grid-template-columns: repeat(5, 1fr); gap: .5rem; }
.hits.image img { width: 100%; }
.frame { position: relative; display: block; border-radius: 8px; padding: 3px; }
.right .frame { background: var(--good); }
.tick { position: absolute; top: 0; right: 0; background: var(--good); color: var(--card); font-weight: 700;
  font-size: .8rem;
  line-height: 1.25; padding: 0 .3em; border-radius: 0 8px 0 8px; }
.hits.video .hit { display: grid; grid-template-columns: minmax(0, 270px) minmax(7rem, 1fr); gap: .7rem;
  align-items: center; }
.hits.video img { width: 100%; }
.caption.card { display: grid; gap: 1rem; align-items: center; }
.caption.image { grid-template-columns: 96px 1fr; } .caption.image img { width: 96px; }
.caption.video { gap: .7rem; }
dl { margin: 0; display: grid; grid-template-columns: max-content 1fr; gap: .15rem .8rem; font-size: .94rem; }
dt { color: var(--soft); font-size: .82rem; padding-top: .1rem; } dd { margin: 0; }
ins { color: var(--good); text-decoration: none; }
del { color: var(--bad); text-decoration: underline wavy 1px; text-underline-offset: 3px; }
.lost { display: grid; place-items: center; min-height: 60px; background: var(--line); color: var(--soft);
  font-size: .75rem; }

.scroll { overflow-x: auto; margin: .6rem 0 1rem; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding-bottom: .3rem; }
th, td { padding: .28rem .8rem .28rem 0; text-align: right; border-bottom: 1px solid var(--line); font-weight: 400;
  white-space: nowrap; }
th:first-child { text-align: left; } thead th { color: var(--soft); font-size: .82rem; vertical-align: bottom; }
.confusion { --accent: var(--image); } .confusion.video { --accent: var(--video); }
.confusion thead th:not(:first-child) span { writing-mode: vertical-rl; transform: rotate(180deg); }
.confusion thead th { text-align: center; }
.confusion th, .confusion td { padding: .25rem .45rem; border: 0; }
.confusion td { min-width: 2.5rem; text-align: center; border: 1px solid var(--card);
  background: color-mix(in srgb, var(--accent) var(--share), var(--page)); }
.confusion td.strong { color: var(--card); font-weight: 700; }
pre { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: .8rem 1rem;
  overflow-x: auto;
  font-size: .86rem; line-height: 1.5; }
code { font-family: ui-monospace, 'SFMono-Regular', Menlo, Consolas, monospace; font-size: .92em; }
details { margin: 1rem 0; } summary { cursor: pointer; color: var(--both); }
footer { margin-top: 3rem; border-top: 1px solid var(--line); padding-top: 1rem; font-size: .86rem;
  color: var(--soft); }
@media (max-width: 560px) {
  .hits.image { gap: .25rem; } .hits.image figcaption { display: none; }
  .hits.video .hit { grid-template-columns: 1fr; gap: 0; margin-bottom: .6rem; }
  .caption.image { grid-template-columns: 76px 1fr; } .caption.image img { width: 76px; }
  .card { padding: .8rem; } .hits.video figcaption { margin-bottom: .2rem; }
}
@media print { body { background: #fff; } .card { break-inside: avoid; } }
"""
