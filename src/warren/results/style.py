"""The look of the page, and the few lines of script that put the figures in their places."""

from __future__ import annotations

CSS = """
:root { --ink: #1f2430; --soft: #5b6372; --line: #e3e6eb; --page: #f6f7f9; --best: #d55e00; --warn: #8a5a00; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); line-height: 1.5; font-size: 15px;
  font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 28px 24px 64px; }
header { display: flex; flex-wrap: wrap; align-items: baseline; gap: 4px 14px; margin-bottom: 4px; }
h1 { font-size: 26px; line-height: 1.25; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 17px; margin: 0 0 2px; }
h3 { font-size: 13px; margin: 0; font-weight: 600; overflow-wrap: anywhere; }
h3 small { font-weight: 400; color: var(--soft); }
p { margin: 0; }
.soft { color: var(--soft); }
.about { color: var(--soft); font-size: 13.5px; margin-bottom: 8px; max-width: 92ch; }
.about.after { margin: 8px 0 0; }
.status { font-size: 12.5px; font-weight: 600; border-radius: 99px; padding: 1px 10px; background: #e3f1ea;
  color: #14603d; }
.status.running { background: #e2eefa; color: #174f86; }
.status.stopped { background: #ebedf1; color: #3d4452; }
.status.failed { background: #fbe5e1; color: #9c2a14; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(190px, 1fr)); gap: 12px; margin: 18px 0 12px; }
section, .card { background: #fff; border: 1px solid var(--line); border-radius: 10px; }
section { padding: 16px 18px; margin-top: 14px; }
.card { padding: 12px 16px; }
.card b { display: block; font-size: 24px; line-height: 1.25; font-weight: 650; overflow-wrap: anywhere; }
.card.best b { color: var(--best); }
.card .label { font-size: 12.5px; color: var(--soft); }
.card .more { font-size: 12.5px; color: var(--soft); overflow-wrap: anywhere; }
.note { border-left: 3px solid #e0a100; background: #fff8e6; color: #5d4300; padding: 7px 12px; margin-top: 8px;
  border-radius: 0 6px 6px 0; font-size: 13.5px; overflow-wrap: anywhere; }
.values { display: flex; flex-wrap: wrap; gap: 6px 8px; margin: 6px 0 0; padding: 0; list-style: none; }
.values li { background: var(--page); border: 1px solid var(--line); border-radius: 6px; padding: 2px 9px;
  font-size: 13.5px; overflow-wrap: anywhere; }
.values span { color: var(--soft); }
.panels { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(480px, 100%), 1fr)); gap: 14px 20px;
  margin-top: 10px; }
.panels > div { min-width: 0; }
.figure { width: 100%; }
.pictures { display: flex; flex-wrap: wrap; gap: 14px 18px; margin-top: 10px; }
.pictures figure { margin: 0; width: 150px; }
.pictures img { display: block; width: 100%; image-rendering: pixelated; border: 1px solid var(--line); }
.pictures figcaption { color: var(--soft); font-size: 12.5px; overflow-wrap: anywhere; }
.wide { overflow: auto; max-height: 460px; margin-top: 6px; }
table { border-collapse: collapse; width: 100%; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 4px 10px; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { position: sticky; top: 0; background: #fff; color: var(--soft); font-weight: 600; font-size: 12.5px; }
th.long, td.long { max-width: 26ch; overflow: hidden; text-overflow: ellipsis; }
td.text, th.text { text-align: left; }
tr.best td { background: #fdf1e8; }
tr:last-child td { border-bottom: 0; }
details { margin-top: 6px; }
summary { cursor: pointer; }
summary h2 { display: inline; }
pre { background: var(--page); border: 1px solid var(--line); border-radius: 6px; padding: 10px 12px;
  margin: 6px 0 10px; font-size: 12.5px; line-height: 1.45; overflow: auto; max-height: 320px; }
footer { color: var(--soft); font-size: 12.5px; margin-top: 18px; overflow-wrap: anywhere; }
@media print { body { background: #fff; } section, .card { break-inside: avoid; } .wide { max-height: none; } }
"""

SCRIPT = """
const figures = JSON.parse(document.getElementById("figures").textContent);
const config = {responsive: true, displaylogo: false,
  modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]]};
for (const place of document.querySelectorAll("[data-figure]")) {
  const figure = figures[Number(place.dataset.figure)];
  Plotly.newPlot(place, figure.data, figure.layout, {...config, ...figure.config});
}
"""
