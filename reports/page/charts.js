"use strict";
// Charts of the lines that are shown, drawn one after the other, and again when these or the theme change.
(() => {
  const { data, element, table } = Gatebench;
  const figures = [...document.querySelectorAll("[data-chart]")].map((figure) => ({
    figure,
    name: figure.dataset.chart,
    chart: data.charts[figure.dataset.chart],
    view: null,
    rows: [],
  }));
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const narrow = matchMedia("(max-width: 40rem)");
  let shown = [];
  let drawing = Promise.resolve();

  function datasetsOf(chart) {
    const drawn = data.datasets[chart.dataset].filter((row) => chart.positive.every((field) => row[field] > 0));
    const has = new Set(drawn.map((row) => row.line));
    const lines = shown.filter((line) => has.has(line.line));
    const used = new Map((chart.each ? lines.slice(0, data.mostLines) : lines).map((line, i) => [line.line, i]));
    const of = (rows) => rows.filter((row) => used.has(row.line)).sort((a, b) => used.get(a.line) - used.get(b.line));
    const tasks = new Set(lines.map((line) => line.task));
    const papers = chart.papers ? data.datasets.papers.filter((paper) => tasks.has(paper.task)) : [];
    return { lines: of(data.datasets.lines), papers, [chart.dataset]: of(drawn) };
  }

  async function draw(one) {
    const datasets = datasetsOf(one.chart);
    const drawn = datasets[one.chart.dataset];
    one.rows = [...drawn, ...datasets.papers];
    one.figure.querySelector(".none").hidden = drawn.length > 0;
    const place = one.figure.querySelector(".drawing");
    place.hidden = drawn.length === 0;
    fill(one);
    one.view?.finalize();
    one.view = null;
    if (!drawn.length) return;
    const config = structuredClone(data.themes[dark.matches ? "dark" : "light"]);
    config.axis.labelLimit = narrow.matches ? 100 : 190;
    config.legend.columns = Math.max(1, Math.floor(place.clientWidth / 120));
    const options = { actions: false, ast: true, renderer: "svg", logLevel: 1, config, tooltip: { theme: dark.matches ? "dark" : "light" } };
    one.view = await vegaEmbed(place, { ...structuredClone(data.specs[one.name]), datasets }, options);
  }

  // The text alternative, made when it is opened.
  function fill(one) {
    const details = one.figure.querySelector("details");
    if (!details.open) return;
    const { columns } = one.chart;
    const names = new Map(data.datasets.lines.map((line) => [line.line, line.name]));
    const fields = Object.keys(columns);
    const rows = one.rows.flatMap((row) => {
      const n = Math.max(1, ...fields.map((field) => (Array.isArray(row[field]) ? row[field].length : 1)));
      return Array.from({ length: n }, (_, i) => [names.get(row.line) ?? row.name,
        ...fields.map((field) => (Array.isArray(row[field]) ? row[field][i] : row[field]))]);
    });
    details.querySelector(".scroll").replaceChildren(table(["line", ...Object.values(columns)], rows));
  }

  function drawAll() {
    drawing = drawing.then(async () => {
      const wanted = shown;
      for (const one of figures) {
        if (wanted !== shown) return; // what is shown has changed again: whoever changed it draws
        await draw(one);
      }
      document.documentElement.dataset.drawn = "yes";
    });
  }

  for (const one of figures) one.figure.querySelector("details").addEventListener("toggle", () => fill(one));
  for (const media of [dark, narrow]) media.addEventListener("change", drawAll);
  let waiting;
  Gatebench.whenShown((lines) => {
    shown = lines;
    delete document.documentElement.dataset.drawn;
    clearTimeout(waiting);
    waiting = setTimeout(drawAll, 150); // not at each letter that is typed
  });
})();
