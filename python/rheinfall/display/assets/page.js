"use strict";
/* Header, controls, hover, the followed track, and the numbers beside the views. */
const $ = (id) => document.getElementById(id);
const count = (n) => n.toLocaleString("en-US");
const escapeText = (text) => String(text).replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);
const mm = (v) => v.toFixed(1) + " mm";
const gev = (pt) => (Number.isFinite(pt) ? pt.toFixed(pt < 10 ? 2 : 1) + " GeV" : "not known");
const LABELS = {
  matched: "matched", duplicate: "duplicate", unmatched: "unmatched", fake: "fake", unknown: "not judged",
  missed: "particles missed", loose: "hits in no track",
};
if (meta.truth === "none") LABELS.unknown = "tracks";
const TRUTH = { full: "full truth", partial: "truth for some hits", none: "no truth" };

function describeParticle(p) {
  if (p === -2) return "truth unknown";
  if (p === -1) return "noise";
  return `${data.particle_id[p]}`;
}

const rows = (pairs) => `<table>${pairs.map(([k, v]) => `<tr><td>${k}</td><td>${v}</td></tr>`).join("")}</table>`;

function describeHit(i) {
  const m = data.hit_module[i], p = data.hit_particle[i];
  return `<div class="part"><b>Hit ${data.hit_id[i]}</b>` + rows([
    ["module", `volume ${data.module_volume[m]} · layer ${data.module_layer[m]} · ${data.module_number[m]}`],
    ["r, z", `${mm(hitR[i])}, ${mm(data.hit_z[i])}`],
    ["particle", describeParticle(p)],
    ...(p >= 0 ? [["its p<sub>T</sub>", gev(data.particle_pt[p])]] : []),
  ]) + "</div>";
}

function trackFacts(t) {
  const p = data.track_majority[t], known = data.track_n_known[t], n = trackHits(t).length;
  const facts = [["hits", n], ["majority", p < 0 ? (known ? "noise" : "truth unknown") : data.particle_id[p]]];
  if (p >= 0) {
    const share = data.track_n_majority[t] / known;
    facts.push(["purity", `${share.toFixed(2)} (${data.track_n_majority[t]} of ${known}${known < n ? " known" : ""})`]);
    facts.push(["of its hits", `${data.track_n_majority[t]} of ${data.particle_n_hits[p]}`]);
    facts.push(["p<sub>T</sub>", gev(data.particle_pt[p])]);
    if (Number.isFinite(data.particle_eta[p])) facts.push(["η", data.particle_eta[p].toFixed(2)]);
  }
  if (!Number.isNaN(data.track_pt[t])) {
    const charge = data.track_charge[t] > 0 ? "+" : data.track_charge[t] < 0 ? "−" : "";
    facts.push(["fit p<sub>T</sub>, η", `${charge}${gev(data.track_pt[t])}, ${data.track_eta[t].toFixed(2)}`]);
    facts.push(["fit φ", `${data.track_phi[t].toFixed(3)} rad`]);
    facts.push(["fit d<sub>0</sub>, z<sub>0</sub>", `${data.track_d0[t].toFixed(3)} mm, ${data.track_z0[t].toFixed(2)} mm`]);
    facts.push(["fit χ² / dof", `${data.track_chi2[t].toFixed(1)} / ${data.track_n_dof[t]}`]);
  }
  return facts;
}

/** Why a track is not matched, in a sentence; nothing for one that is. */
function whyNot(t) {
  const asks = {
    double_majority: "more than half of the track's hits and of the particle's", two_way: "more than half of the track's hits and of the particle's",
    lhc: "more than 75 % of the track's hits", perfect: "all hits of both and no other", one_way: "more than half of the track's hits",
    acts: "at least half of the track's hits and of the particle's",
  };
  const name = CLASSES[data.track_class[t]], p = data.track_majority[t];
  const known = data.track_n_known[t], own = data.track_n_majority[t];
  if (name === "matched" || meta.truth === "none") return "";
  if (name === "unknown") return `Not judged: too few of its hits have known truth, ${known} of ${trackHits(t).length}.`;
  if (p < 0) return "Not matched: its known hits are noise.";
  if (name === "fake") return `A fake: no particle has more than half of its ${known} known hits; the most are ${own}, of particle ${data.particle_id[p]}.`;
  if (name === "duplicate") return `A duplicate: another track has more hits of particle ${data.particle_id[p]}, or came first with as many.`;
  return `Not matched: ${own} of its ${known} known hits are of particle ${data.particle_id[p]}, which has ${data.particle_n_hits[p]}; ${meta.rule.replaceAll("_", " ")} asks for ${asks[meta.rule]}.`;
}

const dot = (name) => `<span class="dot" style="background:var(--${name})"></span>`;

function describeTrack(t) {
  const name = CLASSES[data.track_class[t]];
  return `<div class="part"><b>Track ${t}</b> <span style="color:var(--${name})">${LABELS[name]}</span>${rows(trackFacts(t))}</div>`;
}

/* --- header and controls --- */
function fillHeader() {
  $("title").textContent = meta.title;
  $("subtitle").textContent = [meta.detector, TRUTH[meta.truth], ...meta.notes].filter(Boolean).join(" · ");
  const total = meta.timings.find(([name]) => name === "total")?.[1] ?? meta.timings.reduce((sum, [, ms]) => sum + ms, 0);
  const tiles = [["Hits", count(meta.n_hits)], ["Tracks", count(meta.n_tracks)], ...meta.figures];
  if (total > 0) tiles.push(["Time", total < 1000 ? `${total.toFixed(0)} ms` : `${(total / 1000).toFixed(2)} s`]);
  $("tiles").innerHTML = tiles.map(([label, value, hint]) => `<div title="${escapeText(hint ?? "")}"><dt>${escapeText(label)}</dt><dd>${escapeText(value)}</dd></div>`).join("");
}

function fillChips() {
  const counts = { ...meta.counts, loose: looseHits.length };
  for (const name of [...CLASSES, "missed", "loose"]) {
    if (!counts[name]) continue;
    const chip = document.createElement("button");
    chip.className = "chip" + (name === "missed" ? " open" : "");
    chip.style.setProperty("--chip", `var(--${name})`);
    chip.innerHTML = `<i></i>${LABELS[name]} <b>${count(counts[name])}</b>`;
    chip.setAttribute("aria-pressed", shown[name]);
    chip.onclick = () => { shown[name] = !shown[name]; chip.setAttribute("aria-pressed", shown[name]); update(); };
    $("chips").append(chip);
  }
}

/** The slider runs from 0 to 10 GeV, finer at the low end, where the particles are. */
const cutOf = (position) => (position / 100) ** 2 * 10;

function setCut(position) {
  minPt = cutOf(position);
  $("cut-slider").value = position;
  $("cut-value").textContent = minPt.toFixed(minPt < 1 ? 2 : 1);
}

function prepareCut() {
  const known = data.particle_pt.some(Number.isFinite);
  $("cut").hidden = !known;
  if (!known) $("cut").style.display = "none";
  // Thousands of soft curls hide everything else: start above 1 GeV there. The line beside the slider says so.
  setCut(known && nTracks > 1500 ? Math.sqrt(10) * 10 : 0);
  let timer;
  $("cut-slider").oninput = (e) => { setCut(+e.target.value); clearTimeout(timer); timer = setTimeout(update, 60); };
}

async function update() {
  await drawViews();
  const drawn = layers.slice(1, 6).reduce((n, layer) => n + layer.lines, 0);
  $("shown").textContent = drawn < nTracks ? `${count(drawn)} of ${count(nTracks)} tracks shown` : "all tracks shown";
}

/* --- the panel of numbers --- */
function summarise() {
  const lines = CLASSES.filter((name) => meta.counts[name]).map((name) => `<tr><td>${dot(name)}${LABELS[name]}</td><td>${count(meta.counts[name])}</td><td>${(100 * meta.counts[name] / Math.max(1, nTracks)).toFixed(1)} %</td></tr>`);
  if (meta.counts.missed) lines.push(`<tr><td>${dot("missed")}particles missed</td><td>${count(meta.counts.missed)}</td><td></td></tr>`);
  lines.push(`<tr><td>${dot("loose")}hits in no track</td><td>${count(looseHits.length)}</td><td>${(100 * looseHits.length / Math.max(1, nHits)).toFixed(1)} %</td></tr>`);
  const stages = meta.timings.filter(([name]) => name !== "total"), longest = Math.max(...stages.map(([, ms]) => ms), 1e-9);
  const bars = stages.map(([name, ms]) => `<tr><td>${escapeText(name.replaceAll("_", " "))}</td><td class="track" style="text-align:left"><span class="bar" style="width:${(100 * ms / longest).toFixed(1)}%"></span></td><td>${ms.toFixed(1)} ms</td></tr>`);
  const timing = bars.length ? `<table><tr><th>Stage</th><th></th><th>Time</th></tr>${bars.join("")}</table>` : "";
  const rule = meta.rule ? `<p class="note">Matched by ${escapeText(meta.rule.replaceAll("_", " "))}${meta.truth === "partial" ? ", judged on the hits of known truth" : ""}. Efficiency and missed particles: ${escapeText(meta.selection)}.</p>` : "";
  return `<h2>This event</h2><table><tr><th>Tracks by match</th><th></th><th>Share</th></tr>${lines.join("")}</table>${timing}${rule}`;
}

function hitRow(i, css, last) {
  const m = data.hit_module[i];
  return `<tr class="${css}"><td>${data.hit_id[i]}</td><td>${data.module_volume[m]}/${data.module_layer[m]}/${data.module_number[m]}</td><td>${hitR[i].toFixed(1)}</td><td>${data.hit_z[i].toFixed(1)}</td><td>${last}</td></tr>`;
}

const hitTable = (last, rows) => `<table><tr><th>Hit</th><th>Module</th><th>r [mm]</th><th>z [mm]</th><th>${last}</th></tr>${rows.join("")}</table>`;
const heading = (text, name) => `<button class="close" id="close" title="Back (Esc)">×</button><h2>${text} <small>${dot(name)}${LABELS[name]}</small></h2>`;

function detailTrack(t) {
  const p = data.track_majority[t], lost = lostHits(t);
  const css = (i) => (p >= 0 && data.hit_particle[i] !== p && data.hit_particle[i] !== -2 ? "alien" : "");
  const name = CLASSES[data.track_class[t]];
  const of = (i) => (p >= 0 && data.hit_particle[i] === p ? "majority" : describeParticle(data.hit_particle[i]));
  const lines = [...[...trackHits(t)].map((i) => hitRow(i, css(i), of(i))), ...lost.map((i) => hitRow(i, "lost", "not on track"))];
  return heading(`Track ${t}`, name) + rows(trackFacts(t)) + (whyNot(t) && `<p class="note">${escapeText(whyNot(t))}</p>`) + hitTable("Particle", lines);
}

/** Where the hits of a particle that no track matches have gone. */
function whereHitsWent(p) {
  const hits = missedHits.get(p), tracks = [...new Set(hits.map((i) => hitTrack[i]))].filter((t) => t >= 0);
  const loose = hits.filter((i) => hitTrack[i] < 0).length;
  if (!tracks.length) return "Missed: none of its hits is in a track.";
  return `Missed: ${hits.length - loose} of its ${hits.length} hits are in ${tracks.length > 1 ? "tracks" : "track"} ${tracks.join(", ")}, ${loose} in none.`;
}

function detailParticle(p) {
  const facts = [["hits", missedHits.get(p).length], ["p<sub>T</sub>", gev(data.particle_pt[p])]];
  if (Number.isFinite(data.particle_eta[p])) facts.push(["η", data.particle_eta[p].toFixed(2)]);
  const lines = missedHits.get(p).map((i) => hitRow(i, "", hitTrack[i] < 0 ? "–" : hitTrack[i]));
  return heading(`Particle ${data.particle_id[p]}`, "missed") + rows(facts) + `<p class="note">${whereHitsWent(p)}</p>` + hitTable("Track", lines);
}

function selectTrack(t) {
  selected = t >= 0 && t < nTracks ? t : -1;
  show(selected < 0 ? summarise() : detailTrack(selected));
  return update();
}

function selectMissed(p) {
  selected = -1;
  show(detailParticle(p));
  return update();
}

function show(text) {
  $("side").innerHTML = text;
  if ($("close")) $("close").onclick = () => selectTrack(-1);
}

/* --- hover, click, rotation, theme --- */
const mouse = { x: 0, y: 0 };
document.addEventListener("pointermove", (e) => { mouse.x = e.clientX; mouse.y = e.clientY; }, true);

function describePoint(point) {
  const layer = layers[point.curveNumber], i = layer?.index[point.pointNumber ?? point.pointIndex];
  if (i === undefined || i < 0) return null;
  const t = hitTrack[i];
  return { track: t, missed: layer.name === "missed" ? data.hit_particle[i] : -1, text: (t >= 0 ? describeTrack(t) : "") + describeHit(i) + (layer.name === "missed" ? `<div class="part" style="color:var(--missed)">its particle has no matched track</div>` : "") };
}

function attachHover(name) {
  const view = $(name), tip = $("tip");
  view.on("plotly_hover", (event) => {
    const what = describePoint(event.points[0]);
    if (!what) return;
    tip.innerHTML = what.text;
    tip.hidden = false;
    tip.style.left = Math.min(mouse.x + 16, innerWidth - tip.offsetWidth - 8) + "px";
    tip.style.top = Math.max(8, Math.min(mouse.y + 14, innerHeight - tip.offsetHeight - 8)) + "px";
  });
  view.on("plotly_unhover", () => { tip.hidden = true; });
  view.addEventListener("pointerleave", () => { tip.hidden = true; });
  view.on("plotly_click", (event) => {
    const what = describePoint(event.points[0]);
    // Later, since the 3-D view tells of clicks from within its drawing, which must not start anew there.
    if (what?.missed >= 0) setTimeout(selectMissed, 0, what.missed);
    else if (what?.track >= 0) setTimeout(selectTrack, 0, what.track);
  });
}

let turning = false;
/** Turn about the vertical, one round in 40 s; stop where a frame takes too long to be smooth. */
function turn() {
  let last = performance.now(), slow = 0;
  const step = async (now) => {
    if (!turning || document.hidden) return setTurning(turning && document.hidden ? false : turning);
    const eye = $("space")._fullLayout.scene.camera.eye, angle = Math.min(now - last, 100) * 2 * Math.PI / 40000;
    slow = now - last > 250 ? slow + 1 : 0;
    last = now;
    if (slow > 8) return setTurning(false);
    const [c, s] = [Math.cos(angle), Math.sin(angle)];
    await Plotly.relayout("space", { "scene.camera.eye": { x: c * eye.x - s * eye.y, y: s * eye.x + c * eye.y, z: eye.z } });
    requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
}

function setTurning(on) {
  const start = on && !turning;
  turning = on;
  $("rotate").setAttribute("aria-pressed", on);
  if (start) turn();
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  $("theme").textContent = theme === "dark" ? "Light" : "Dark";
}

const hash = new URLSearchParams(location.hash.slice(1));
setTheme(hash.get("theme") === "light" ? "light" : "dark");
fillHeader();
prepareCut();
fillChips();
selectTrack(hash.has("track") ? Number(hash.get("track")) : -1).then(() => {
  Object.keys(VIEWS).forEach(attachHover);
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  setTurning(!calm && hash.get("rotate") !== "0");
});
$("rotate").onclick = () => setTurning(!turning);
for (const gesture of ["pointerdown", "wheel"]) $("space").addEventListener(gesture, () => setTurning(false), { passive: true, capture: true });
$("reset").onclick = () => {
  setTurning(false);
  Plotly.relayout("space", { "scene.camera": CAMERA });
  for (const name of ["xy", "rz"]) { const { xaxis, yaxis } = buildLayout(name); Plotly.relayout(name, { "xaxis.range": xaxis.range, "yaxis.range": yaxis.range }); }
};
$("theme").onclick = () => { setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"); update(); };
document.addEventListener("keydown", (e) => { if (e.key === "Escape") selectTrack(-1); });
