"use strict";
/* The event as typed arrays, and the three views drawn from them. */
const { meta, arrays } = JSON.parse(document.getElementById("event-data").textContent);
const ARRAY_TYPES = {
  f4: Float32Array, u1: Uint8Array, u2: Uint16Array, u4: Uint32Array, u8: BigUint64Array, i2: Int16Array, i4: Int32Array,
};

function decodeArray({ dtype, bdata }) {
  const text = atob(bdata), bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return new ARRAY_TYPES[dtype](bytes.buffer);
}

const data = Object.fromEntries(Object.entries(arrays).map(([name, packed]) => [name, decodeArray(packed)]));
const CLASSES = ["matched", "duplicate", "unmatched", "fake", "unknown"];
const nHits = data.hit_x.length, nTracks = data.track_offsets.length - 1;
const hitR = Float32Array.from(data.hit_x, (x, i) => Math.hypot(x, data.hit_y[i]));
const hitTrack = new Int32Array(nHits).fill(-1);
for (let t = 0; t < nTracks; t++)
  for (let k = data.track_offsets[t]; k < data.track_offsets[t + 1]; k++) hitTrack[data.track_hits[k]] = t;
const looseHits = Int32Array.from(hitTrack.keys()).filter((i) => hitTrack[i] < 0);

const shown = { ...Object.fromEntries(CLASSES.map((name) => [name, true])), missed: true, loose: true };
let minPt = 0, selected = -1;

const trackPt = (t) => (data.track_majority[t] < 0 ? NaN : data.particle_pt[data.track_majority[t]]);
const trackHits = (t) => data.track_hits.subarray(data.track_offsets[t], data.track_offsets[t + 1]);
// Written with "not below", so that a track of unknown pT stays.
const passesCut = (pt) => !(pt < minPt);

/** Hits of every particle that no track found, each ordered outward. */
const missedHits = (() => {
  const lists = new Map();
  data.particle_missed.forEach((missed, p) => { if (missed) lists.set(p, []); });
  data.hit_particle.forEach((p, i) => lists.get(p)?.push(i));
  const distance = (i) => hitR[i] ** 2 + data.hit_z[i] ** 2;
  for (const list of lists.values()) list.sort((a, b) => distance(a) - distance(b));
  return lists;
})();

/** Concatenate polylines of hits; -1 is the gap between two of them. */
function joinLines(lines) {
  let size = 0;
  for (const line of lines) size += line.length + 1;
  const index = new Int32Array(size).fill(-1);
  let at = 0;
  for (const line of lines) { index.set(line, at); at += line.length + 1; }
  return index;
}

function linesOfClass(c) {
  const lines = [];
  for (let t = 0; t < nTracks; t++) if (data.track_class[t] === c && passesCut(trackPt(t))) lines.push(trackHits(t));
  return lines;
}

function linesMissed() {
  return [...missedHits].filter(([p]) => passesCut(data.particle_pt[p])).map(([, hits]) => hits);
}

/** Hit indices behind every trace; the order here is the order of the traces in each view. */
function buildLayers() {
  const layers = [{ name: "loose", index: shown.loose ? looseHits : new Int32Array(0), lines: 0 }];
  CLASSES.forEach((name, c) => {
    const lines = shown[name] ? linesOfClass(c) : [];
    layers.push({ name, index: joinLines(lines), lines: lines.length });
  });
  const missed = shown.missed ? linesMissed() : [];
  layers.push({ name: "missed", index: joinLines(missed), lines: missed.length });
  const track = selected < 0 ? new Int32Array(0) : trackHits(selected);
  layers.push({ name: "lost", index: Int32Array.from(lostHits(selected)), lines: 0 });
  layers.push({ name: "pick", index: Int32Array.from(track), lines: 0 });
  return layers;
}

/** Hits of the majority particle that the track does not have. */
function lostHits(t) {
  const p = t < 0 ? -1 : data.track_majority[t], lost = [];
  if (p < 0) return lost;
  data.hit_particle.forEach((q, i) => { if (q === p && hitTrack[i] !== t) lost.push(i); });
  return lost;
}

const pick = (column, index) => Float32Array.from(index, (i) => (i < 0 ? NaN : column[i]));
const VIEWS = {
  // The beam lies along the first axis and y points up, so that a turn keeps the beam level.
  space: { type: "scatter3d", columns: { x: data.hit_z, y: data.hit_x, z: data.hit_y } },
  xy: { type: "scattergl", columns: { x: data.hit_x, y: data.hit_y } },
  rz: { type: "scattergl", columns: { x: data.hit_z, y: hitR } },
};
const color = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();

/** Dense events get fainter strokes: what matters is that single tracks still stand out. */
function strokes() {
  const drawn = layers.slice(1, 6).reduce((n, layer) => n + layer.lines, 0);
  return { line: drawn > 4000 ? 0.35 : drawn > 1200 ? 0.55 : 0.85, loose: Math.max(0.12, Math.min(0.7, 9000 / (looseHits.length + 1))) };
}

function styleOf(name, solid, faint) {
  if (name === "loose") return { mode: "markers", opacity: solid ? faint.loose * 1.3 : faint.loose, marker: { size: solid ? 1.4 : 2, color: color("loose") } };
  if (name === "lost") return { mode: "markers", marker: { size: solid ? 5 : 9, symbol: "circle-open", color: color("missed"), line: { width: 2, color: color("missed") } } };
  if (name === "pick") return { mode: "lines+markers", line: { width: solid ? 7 : 3, color: color("pick") }, marker: { size: solid ? 4 : 7, color: color("pick") } };
  const rare = name !== "matched" && name !== "unknown";
  const width = (solid ? 2 : 1) * (rare ? 1.6 : 1);
  return {
    mode: "lines+markers", opacity: rare ? 0.95 : faint.line,
    line: { width, color: color(name), dash: name === "missed" ? "dot" : "solid" },
    marker: { size: solid ? 1.8 : 3, color: color(name), line: { width: 0 } },
  };
}

let layers = buildLayers();
const isEmpty = (layer) => layer.index.length === 0;

function buildTraces(view) {
  const faint = strokes();
  return layers.map((layer) => {
    const trace = { type: view.type, name: layer.name, hoverinfo: "none", showlegend: false, connectgaps: false, visible: !isEmpty(layer), ...styleOf(layer.name, view.type === "scatter3d", faint) };
    // A followed track stands out, the rest stays as a backdrop.
    if (selected >= 0 && layer.name !== "pick" && layer.name !== "lost") trace.opacity *= 0.22;
    for (const [axis, column] of Object.entries(view.columns)) trace[axis] = pick(column, layer.index);
    return trace;
  });
}

const reach = (column) => { let top = 1; for (const v of column) if (Math.abs(v) > top) top = Math.abs(v); return 1.04 * top; };
const rMax = reach(hitR), zMax = reach(data.hit_z);
const CAMERA = { eye: { x: 0.8, y: -1.55, z: 0.52 }, up: { x: 0, y: 0, z: 1 }, center: { x: 0, y: 0, z: -0.1 } };

function axis(label, range, extra) {
  return {
    range, title: { text: label, font: { size: 11, color: color("dim") }, standoff: 4 }, gridcolor: color("grid"), zerolinecolor: color("edge"),
    linecolor: color("edge"), tickfont: { size: 10, color: color("dim") }, showspikes: false, ...extra,
  };
}

function buildLayout(name) {
  const base = { margin: { l: 52, r: 14, t: 6, b: 36 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", hovermode: "closest", hoverdistance: 12, showlegend: false, uirevision: "keep", dragmode: "pan", modebar: { bgcolor: "rgba(0,0,0,0)", color: color("edge"), activecolor: color("accent") }, font: { family: "Inter, Segoe UI, system-ui, sans-serif", color: color("text") } };
  if (name === "xy") return { ...base, xaxis: axis("x", [-rMax, rMax]), yaxis: axis("y", [-rMax, rMax], { scaleanchor: "x" }) };
  if (name === "rz") return { ...base, xaxis: axis("z", [-zMax, zMax]), yaxis: axis("r", [0, rMax]) };
  const face = { showbackground: false, gridcolor: color("grid"), zeroline: false, nticks: 5 };
  const scene = {
    xaxis: axis("z", [-zMax, zMax], face), yaxis: axis("x", [-rMax, rMax], face), zaxis: axis("y", [-rMax, rMax], face),
    aspectmode: "manual", aspectratio: { x: 2.1, y: 1, z: 1 }, camera: CAMERA, dragmode: "turntable", uirevision: "keep",
  };
  return { ...base, margin: { l: 0, r: 0, t: 0, b: 0 }, dragmode: undefined, scene };
}

const CONFIG = { responsive: true, displaylogo: false, scrollZoom: true, modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d", "resetCameraLastSave3d", "sendDataToCloud"] };

/** Draw all views anew from what is shown, cut and selected. */
function drawViews() {
  layers = buildLayers();
  return Promise.all(Object.entries(VIEWS).map(([name, view]) => Plotly.react(name, buildTraces(view), buildLayout(name), CONFIG)));
}
