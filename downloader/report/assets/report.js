"use strict";
// The charts and filters of the report. Texts are set as text, never as HTML.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
  const isNarrow = () => window.innerWidth < 600;

  // -- failures ------------------------------------------------------------------------------------------------------

  function setUpFilters() {
    const table = byId("failure-table");
    if (!table) return;
    const rows = [...table.tBodies[0].rows].map((row) => ({ row, text: row.textContent.toLowerCase() }));
    const kind = byId("filter-kind"), text = byId("filter-text"), transient = byId("filter-transient");
    function apply() {
      const wanted = text.value.trim().toLowerCase();
      let groups = 0, items = 0;
      for (const { row, text } of rows) {
        const shown =
          (!kind.value || row.dataset.kind === kind.value) &&
          (!transient.checked || row.dataset.transient === "1") &&
          text.includes(wanted);
        row.hidden = !shown;
        groups += shown;
        items += shown ? Number(row.dataset.items) : 0;
      }
      byId("filter-count").textContent = `${items} items in ${groups} of ${rows.length} groups`;
    }
    for (const input of [kind, text, transient]) input.addEventListener("input", apply);
    kind.form.addEventListener("submit", (event) => event.preventDefault());
    apply();
  }

  // -- charts --------------------------------------------------------------------------------------------------------

  let charts = [];
  let range = null; // what is shown of the time, in seconds; shared by all charts

  function clock(seconds, step) {
    const places = step < 0.001 ? 4 : step < 0.01 ? 3 : step < 0.1 ? 2 : step < 1 ? 1 : 0;
    if (seconds < 120 && step < 60) return seconds.toFixed(places) + " s";
    const rounded = Number(seconds.toFixed(places)), pad = (n) => String(n).padStart(2, "0");
    const hours = Math.floor(rounded / 3600), minutes = Math.floor(rounded / 60) % 60;
    const rest = (rounded % 60).toFixed(places).padStart(places ? places + 3 : 2, "0");
    return hours ? `${hours}:${pad(minutes)}:${rest}` : `${minutes}:${rest}`;
  }

  function bounded(min, max) {
    const end = Math.max(data.duration_s, data.bucket_s);
    const width = Math.min(Math.max(max - min, 1e-4), end);
    const from = Math.min(Math.max(min, 0), end - width);
    return [from, from + width];
  }

  function show(min, max) {
    range = bounded(min, max);
    for (const chart of charts) chart.setScale("x", { min: range[0], max: range[1] });
  }

  const whole = () => bounded(0, Infinity);

  function axis(extra) {
    return { stroke: color("muted"), grid: { stroke: color("grid"), width: 1 }, ticks: { stroke: color("line"), width: 1 }, ...extra };
  }

  function base(place, height) {
    return {
      width: Math.max(place.clientWidth, 200),
      height,
      padding: [8, 16, 0, 0],
      cursor: { sync: { key: "time" }, drag: { x: true, y: false, setScale: false } },
      select: { show: true },
      scales: { x: { time: false, range: () => range } },
      hooks: {
        setSelect: [
          (chart) => {
            const { left, width } = chart.select;
            if (width > 3) show(chart.posToVal(left, "x"), chart.posToVal(left + width, "x"));
            chart.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
          },
        ],
        ready: [(chart) => chart.over.addEventListener("dblclick", () => show(...whole()))],
      },
    };
  }

  const timeAxis = () => axis({ size: 32, values: (_, ticks, __, ___, step) => ticks.map((at) => clock(at, step)), space: 64 });

  function lineChart(id, lines, format, top) {
    const place = byId("chart-" + id);
    const count = Math.max(...lines.map((line) => line.values.length), 1);
    const times = Array.from({ length: count }, (_, i) => (i + 0.5) * data.bucket_s);
    const filled = (line) => times.map((_, i) => (i < line.values.length ? line.values[i] : line.missing));
    const options = base(place, 210);
    options.scales.y = { range: (_, __, max) => [0, Math.max(max * 1.08, top || 0, 1e-3)] };
    options.axes = [timeAxis(), axis({ size: 56, values: (_, ticks) => ticks.map(format) })];
    options.series = [{ label: "time", value: (_, at) => (at == null ? "–" : clock(at, data.bucket_s)) }].concat(
      lines.map((line) => ({
        label: line.label,
        stroke: color(line.color),
        width: 1.5,
        dash: line.dash,
        points: { show: count < 3 },
        value: (_, value) => (value == null ? "–" : format(value)),
      })),
    );
    charts.push(new uPlot(options, [times, ...lines.map(filled)], place));
  }

  const series = (name, per) => (data.series[name] || []).map((value) => value / per);
  const short = (value) => (value >= 10000 ? (value / 1000).toFixed(0) + "k" : value >= 100 ? value.toFixed(0) : String(+value.toFixed(2)));

  // What no process of a stage had in a stretch of time is no zero of its memory, but of its CPU time.
  function byStage(prefix, suffix, per, missing) {
    return [["parent", "c1"], ["shards", "c3"], ["workers", "c2"]]
      .map(([name, shade]) => ({ label: name === "workers" ? "transform processes" : name, color: shade, values: series(prefix + name + suffix, per).map((value) => value || missing), missing }))
      .filter((line) => line.label === "parent" || line.values.some((value) => value > 0));
  }

  function drawLines() {
    const width = data.bucket_s, samples = data.series.queue_samples;
    const line = (label, shade, name, per) => ({ label, color: shade, values: series(name, per), missing: 0 });
    lineChart("throughput", [
      line("fetched", "c1", "downloaded", width), line("transformed", "c2", "transformed", width),
      line("stored", "c3", "stored", width), { ...line("failed", "c4", "failed", width), dash: [5, 4] },
    ], short);
    lineChart("transfer", [
      line("downloaded", "c1", "bytes_downloaded", width * 2 ** 20), line("written", "c3", "bytes_written", width * 2 ** 20),
    ], short);
    lineChart("queue", [
      { label: "mean depth", color: "c2", missing: null, values: data.series.queue_depth.map((sum, i) => (samples[i] ? sum / samples[i] : null)) },
      { label: "largest depth", color: "c1", missing: null, dash: [5, 4], values: data.series.queue_max.map((most, i) => (samples[i] ? most : null)) },
    ], short, data.queue_size);
    lineChart("cpu", byStage("cpu_", "_s", width, 0), short, 1);
    lineChart("memory", byStage("rss_", "_bytes", 2 ** 20, null), (value) => short(value) + " M");
  }

  // -- timeline ------------------------------------------------------------------------------------------------------

  function bytes(base64) {
    const text = atob(base64), out = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) out[i] = text.charCodeAt(i);
    return out;
  }

  // Spans by lane, sorted by their starts; `longest` bounds how far back one that is still running can have begun.
  function readLanes() {
    const packed = data.spans;
    const start = new Uint32Array(bytes(packed.start).buffer), length = new Uint32Array(bytes(packed.length).buffer);
    const lane = new Uint16Array(bytes(packed.lane).buffer), phase = bytes(packed.phase);
    const item = new Uint32Array(bytes(packed.item).buffer);
    const rows = new Map(data.lanes.map((each, row) => [each.number, row]));
    const order = data.lanes.map(() => []);
    for (let i = 0; i < start.length; i++) order[rows.get(lane[i])].push(i);
    return data.lanes.map((each, row) => {
      const indexes = order[row].sort((a, b) => start[a] - start[b]);
      return {
        label: each.label, kind: each.kind, busy: bytes(each.busy),
        start: Float64Array.from(indexes, (i) => start[i] * packed.unit_s),
        end: Float64Array.from(indexes, (i) => (start[i] + length[i]) * packed.unit_s),
        phase: Uint8Array.from(indexes, (i) => phase[i]),
        item: Uint32Array.from(indexes, (i) => item[i]),
        longest: indexes.reduce((most, i) => Math.max(most, length[i]), 0) * packed.unit_s,
      };
    });
  }

  // The first index whose value is not below `at`.
  function lowerBound(values, at) {
    let low = 0, high = values.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (values[middle] < at) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  function visible(lane, from, to) {
    return [lowerBound(lane.start, from - lane.longest), lowerBound(lane.start, to)];
  }

  let lanes = null;

  function drawShares(chart, lane, top, height, shade, alpha) {
    const context = chart.ctx, [from, to] = range, step = data.bucket_s;
    context.globalAlpha = alpha;
    context.fillStyle = shade;
    const last = Math.min(Math.ceil(to / step), lane.busy.length);
    for (let bucket = Math.max(Math.floor(from / step), 0); bucket < last; bucket++) {
      if (!lane.busy[bucket]) continue;
      // Whole pixels: two halves of one would show as a seam.
      const left = Math.round(chart.valToPos(bucket * step, "x", true));
      const right = Math.round(chart.valToPos((bucket + 1) * step, "x", true));
      const high = Math.max((height * lane.busy[bucket]) / 255, 1);
      context.fillRect(left, top + height - high, right - left, high); // faster than one path of all
    }
    context.globalAlpha = 1;
  }

  function drawSpans(chart, lane, top, height, shades) {
    const [from, to] = range, context = chart.ctx;
    const zero = chart.valToPos(0, "x", true), perSecond = chart.valToPos(1, "x", true) - zero;
    const [first, last] = visible(lane, from, to);
    let drawn = -1, shade = -1;
    for (let i = first; i < last; i++) {
      if (lane.end[i] < from) continue;
      const left = zero + lane.start[i] * perSecond, right = zero + lane.end[i] * perSecond;
      if (right <= drawn) continue; // under the pixel that was drawn last
      const width = Math.max(right - left, 1);
      drawn = left + width;
      if (lane.phase[i] !== shade) context.fillStyle = shades[(shade = lane.phase[i])];
      context.fillRect(left, top, width, height);
    }
  }

  function drawTimeline(chart, shades, laneShades) {
    const context = chart.ctx, { left, top, width, height } = chart.bbox;
    const [from, to] = range, row = height / lanes.length, gap = Math.min(row * 0.15, 4);
    const spans = lanes.reduce((sum, lane) => { const [a, b] = visible(lane, from, to); return sum + b - a; }, 0);
    const isDense = spans * 4 > width * lanes.length; // a span has less than four pixels
    context.save();
    context.beginPath();
    context.rect(left, top, width, height);
    context.clip();
    lanes.forEach((lane, number) => {
      const y = top + number * row + gap / 2;
      drawShares(chart, lane, y, row - gap, laneShades[lane.kind], isDense ? 0.9 : 0.18);
      if (!isDense) drawSpans(chart, lane, y, row - gap, shades);
    });
    context.restore();
    byId("chart-timeline").dataset.drawn = isDense ? "shares" : "spans";
  }

  function describe(chart) {
    const info = byId("timeline-info"), { left, top } = chart.cursor;
    if (left == null || left < 0) return;
    const at = chart.posToVal(left, "x"), number = Math.floor(chart.posToVal(top, "y"));
    const lane = lanes[number];
    if (!lane) return;
    let text = `${lane.label} at ${clock(at, 0.001)}`;
    const [first, last] = visible(lane, at, at);
    let found = -1;
    for (let i = first; i < last; i++) if (lane.end[i] >= at) found = i;
    if (found >= 0) {
      const took = (lane.end[found] - lane.start[found]) * 1000, item = lane.item[found];
      text += `: ${data.spans.phases[lane.phase[found]].replace("_", " ")}, ${+took.toFixed(2)} ms, item ${item} ${data.names[item] || ""}`;
    } else {
      const share = lane.busy[Math.floor(at / data.bucket_s)] || 0;
      text += `: busy ${Math.round((100 * share) / 255)} % of these ${data.bucket_s} s`;
    }
    info.textContent = text;
  }

  function timelineChart() {
    const place = byId("chart-timeline");
    lanes = lanes || readLanes();
    const row = Math.min(Math.max(Math.floor(640 / lanes.length), isNarrow() ? 7 : 6), 20);
    const shades = data.spans.phases.map((phase) => color(phase));
    const options = base(place, Math.max(row * lanes.length, 60) + 50);
    const every = Math.ceil(12 / row);
    options.legend = { show: false };
    options.scales.y = { range: [0, Math.max(lanes.length, 1)], dir: -1 };
    options.cursor.y = false;
    options.cursor.points = { show: false };
    options.axes = [
      timeAxis(),
      axis({
        size: isNarrow() ? 104 : 120,
        font: "11px system-ui, sans-serif",
        gap: 4,
        grid: { show: false },
        ticks: { show: false },
        splits: () => lanes.map((_, i) => i + 0.5),
        filter: (_, splits) => splits.map((at, i) => (i % every ? null : at)),
        values: (_, splits) => splits.map((at) => (at == null ? "" : lanes[Math.floor(at)].label)),
      }),
    ];
    options.series = [{}, { stroke: "transparent", points: { show: false } }];
    const laneShades = Object.fromEntries(lanes.map((lane) => [lane.kind, color("lane-" + lane.kind)]));
    options.hooks.draw = [(chart) => drawTimeline(chart, shades, laneShades)];
    options.hooks.setCursor = [describe];
    const chart = new uPlot(options, [[0, Math.max(data.duration_s, data.bucket_s)], [null, null]], place);
    chart.over.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && Math.abs(event.deltaX) > Math.abs(event.deltaY)) return;
      event.preventDefault();
      zoom(event.deltaY < 0 ? 0.8 : 1.25, chart.posToVal(event.offsetX, "x"));
    }, { passive: false });
    charts.push(chart);
  }

  function zoom(factor, at) {
    const [from, to] = range, around = at == null ? (from + to) / 2 : at;
    show(around - (around - from) * factor, around + (to - around) * factor);
  }

  const moves = {
    slice: () => {
      const { slice_s: width, stride } = data.spans, step = width * stride;
      const last = Math.floor(Math.max(data.duration_s - width, 0) / step);
      const start = Math.min(Math.round((range[0] + range[1]) / 2 / step), last) * step;
      show(start, start + width);
    },
    in: () => zoom(0.5), out: () => zoom(2), all: () => show(...whole()),
    left: () => show(range[0] - (range[1] - range[0]) / 4, range[1] - (range[1] - range[0]) / 4),
    right: () => show(range[0] + (range[1] - range[0]) / 4, range[1] + (range[1] - range[0]) / 4),
  };
  const keys = { "+": "in", "=": "in", "-": "out", "0": "all", Home: "all", ArrowLeft: "left", ArrowRight: "right" };

  function setUpTimeline() {
    for (const button of document.querySelectorAll("[data-zoom]"))
      button.addEventListener("click", () => moves[button.dataset.zoom]());
    byId("chart-timeline").addEventListener("keydown", (event) => {
      if (!(event.key in keys) || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      moves[keys[event.key]]();
    });
  }

  function build() {
    for (const chart of charts) chart.destroy();
    charts = [];
    range = range || whole();
    drawLines();
    timelineChart();
  }

  setUpFilters();
  if (data) {
    build();
    setUpTimeline();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", build);
    let width = window.innerWidth;
    window.addEventListener("resize", () => {
      if (window.innerWidth !== width) requestAnimationFrame(build);
      width = window.innerWidth;
    });
  }
  document.documentElement.dataset.ready = "1";
})();
