/** Plots as SVG: points and steps over time, with two axes that say what they measure. */

const NS = "http://www.w3.org/2000/svg";
const LEFT = 58;
const BOTTOM = 22;
const TOP = 8;
const RIGHT = 8;

/**
 * @typedef {{x: number, y: number, title?: string}} Point
 * @typedef {{kind: "points"|"steps"|"area", points: Point[], class: string}} Series
 */

/**
 * Draw anew, as wide as the place is.
 *
 * @param {HTMLElement} place @param {string} label what a screen reader is told
 * @param {Series[]} series the later ones on top
 * @param {{from: number, to: number, most: number, unit: string}} axes x in seconds, y from 0 to `most`
 */
export function plot(place, label, series, { from, to, most, unit }) {
  const width = Math.max(260, place.clientWidth);
  const height = 180;
  const top = niceTop(most);
  const x = (/** @type {number} */ at) => LEFT + ((at - from) / Math.max(1, to - from)) * (width - LEFT - RIGHT);
  const y = (/** @type {number} */ value) => height - BOTTOM - (Math.min(value, top) / top) * (height - BOTTOM - TOP);
  const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label });
  for (const value of [0, top / 2, top]) {
    picture.append(svg("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value) }));
    picture.append(svg("text", { class: "tick", x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, `${round(value)}${value === top ? ` ${unit}` : ""}`));
  }
  for (const share of [0, 0.5, 1]) {
    const at = from + share * (to - from);
    const anchor = share === 0 ? "start" : share === 1 ? "end" : "middle";
    picture.append(svg("text", { class: "tick", x: x(at), y: height - 5, "text-anchor": anchor }, ago(to - at)));
  }
  for (const { kind, points, class: name } of series) {
    const seen = points.filter((point) => point.x >= from);
    if (kind === "points") {
      for (const point of seen) {
        picture.append(svg("circle", { class: name, cx: x(point.x), cy: y(point.y), r: 3 }, point.title ? svg("title", {}, point.title) : ""));
      }
    } else if (seen.length) picture.append(svg("path", { class: name, d: steps(seen, x, y, kind === "area" ? y(0) : null) }));
  }
  place.replaceChildren(picture);
}

/** @param {Point[]} points @param {(v: number) => number} x @param {(v: number) => number} y @param {number|null} ground */
function steps(points, x, y, ground) {
  const [first] = points;
  const last = points[points.length - 1];
  let path = `M${x(first.x).toFixed(1)} ${y(first.y).toFixed(1)}`;
  for (const point of points.slice(1)) path += `H${x(point.x).toFixed(1)}V${y(point.y).toFixed(1)}`;
  return ground === null ? path : `${path}V${ground}H${x(first.x).toFixed(1)}Z`;
}

/** The next round number that halves well. @param {number} most */
function niceTop(most) {
  if (most <= 2) return 2;
  const power = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 4, 6, 8, 10].map((n) => n * power).find((n) => n >= most) ?? 10 * power;
}

/** @param {number} value */
function round(value) {
  return value >= 10 ? Math.round(value) : Number(value.toFixed(1));
}

/** @param {number} seconds */
export function ago(seconds) {
  if (seconds < 1) return "now";
  return seconds < 90 ? `${Math.round(seconds)} s ago` : `${Math.round(seconds / 60)} min ago`;
}

/** @param {string} tag @param {Record<string, string|number>} attributes @param {...(Node|string)} children */
function svg(tag, attributes, ...children) {
  const made = document.createElementNS(NS, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  made.append(...children);
  return made;
}
