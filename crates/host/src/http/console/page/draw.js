"use strict";
// Elements and drawings. Data from the network becomes text, never markup.

/** An element. `set` holds attributes; children are elements, or texts. */
function make(name, set, ...children) {
  const element = document.createElement(name);
  return filled(element, set, children);
}

function shape(name, set, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", name), set, children);
}

function filled(element, set, children) {
  for (const [key, value] of Object.entries(set || {})) {
    if (value !== null && value !== undefined) element.setAttribute(key, String(value));
  }
  for (const child of children.flat()) {
    if (child === null || child === undefined) continue;
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return element;
}

/** An untrusted name, isolated so that its writing direction does not affect the text around it. */
const named = (text) => make("bdi", {}, text);

/** A state as a text with a mark; each state has a different shape. */
const word = (state, text) => make("span", { class: "word", "data-state": state }, text);

/** A table of `rows`, each { state, cells }; a cell is { content, number, head }. On a phone each row is a card. */
function table(caption, names, rows) {
  const head = names.map((name, at) =>
    make("th", { scope: "col", role: "columnheader", class: rows[0]?.cells[at]?.number ? "number" : null }, name));
  const body = rows.map((row) => make("tr", { role: "row", "data-state": row.state, "data-id": row.id }, row.cells.map((cell, at) =>
    cell.head
      ? make("th", { scope: "row", role: "rowheader", "data-name": names[at] }, cell.content)
      : make("td", { role: "cell", "data-name": names[at], class: cell.class || (cell.number ? "number" : null) },
        make("div", {}, cell.content)))));
  return make("table", { class: "rows", role: "table" },
    make("caption", { class: "unseen" }, caption),
    make("thead", { role: "rowgroup" }, make("tr", { role: "row" }, head)),
    make("tbody", { role: "rowgroup" }, body));
}

const twice = (number) => String(number).padStart(2, "0");
const clock = (ms) => { const at = new Date(ms); return `${twice(at.getHours())}:${twice(at.getMinutes())}:${twice(at.getSeconds())}`; };
const day = (ms) => { const at = new Date(ms); return `${at.getFullYear()}-${twice(at.getMonth() + 1)}-${twice(at.getDate())}`; };
const minute = (ms) => `${day(ms)} ${clock(ms).slice(0, 5)}`;
const many = (number, one, more) => `${number} ${number === 1 ? one : more}`;

/** A count over time, with lines for its thresholds. Points are [seconds, count]; times in milliseconds. */
function drawLine(points, thresholds, count, nowMs) {
  const [width, height, left, right, top, bottom] = [640, 190, 34, 8, 10, 22];
  const now = nowMs / 1000;
  const all = points.filter(([at]) => at <= now).concat([[now, count]]);
  const begin = Math.min(all[0][0], now - 10);
  const highest = Math.max(4, count, ...all.map(([, value]) => value), ...thresholds.map(({ threshold }) => threshold)) * 1.12;
  const x = (at) => left + (at - begin) / (now - begin) * (width - left - right);
  const y = (value) => height - bottom - value / highest * (height - top - bottom);
  const svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label":
    `The count since ${minute(begin * 1000)}: ${all[0][1]} then, ${count} now.` });
  svg.append(shape("line", { class: "axis", x1: left, x2: width - right, y1: y(0), y2: y(0) }),
    shape("text", { x: left - 6, y: y(0) + 4, "text-anchor": "end" }, 0));
  let above = Infinity;
  for (const { threshold, met } of thresholds) {
    svg.append(shape("line", { class: "threshold", "data-met": met ? "yes" : "no", x1: left, x2: width - right, y1: y(threshold), y2: y(threshold) }));
    // Thresholds that are close together share one label.
    if (above - y(threshold) >= 12) {
      svg.append(shape("text", { x: left - 6, y: y(threshold) + 4, "text-anchor": "end" }, threshold));
      above = y(threshold);
    }
  }
  // The line is horizontal until the count changes.
  const path = all.map(([at, value], index) => index === 0
    ? `M${x(at).toFixed(1)} ${y(value).toFixed(1)}`
    : `H${x(at).toFixed(1)}V${y(value).toFixed(1)}`).join("");
  svg.append(shape("path", { class: "line", d: path }), shape("circle", { class: "now", cx: x(now), cy: y(count), r: 3.5 }));
  const isLong = now - begin > 86400 / 2;
  const label = (at) => isLong ? minute(at * 1000).slice(5) : clock(at * 1000).slice(0, now - begin < 900 ? 8 : 5);
  svg.append(shape("text", { x: left, y: height - 5 }, label(begin)),
    shape("text", { x: width - right, y: height - 5, "text-anchor": "end" }, "now"));
  return svg;
}

/** Machines by days since their last request: 30 bars. Those that expire within a week are highlighted. */
function drawAges(ages) {
  const [width, height, bottom] = [420, 190, 22];
  const highest = Math.max(4, ...ages);
  const step = width / ages.length;
  const soon = ages.slice(-7).reduce((sum, number) => sum + number, 0);
  const recent = ages.slice(0, 7).reduce((sum, number) => sum + number, 0);
  const total = ages.reduce((sum, number) => sum + number, 0);
  const said = total === 0 ? "No machine is counted." : `Of ${many(total, "machine", "machines")}, ${recent} sent a request within 7 days; ${soon} expire within 7 days unless they renew.`;
  const svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": said });
  ages.forEach((number, days) => {
    const tall = number / highest * (height - bottom - 18);
    const soonGone = days >= ages.length - 7;
    if (number > 0) {
      svg.append(shape("rect", { class: "bar", "data-soon": soonGone ? "yes" : "no", x: days * step + 1, width: step - 2, y: height - bottom - tall, height: tall, rx: 1.5 },
        shape("title", {}, `${many(number, "machine", "machines")}, ${days} days ago`)));
      if (number === Math.max(...ages)) {
        svg.append(shape("text", { x: Math.max(8, days * step + step / 2), y: height - bottom - tall - 5, "text-anchor": "middle" }, number));
      }
    }
  });
  svg.append(shape("line", { class: "axis", x1: 0, x2: width, y1: height - bottom, y2: height - bottom }));
  for (const [days, anchor, text] of [[0, "start", "today"], [7, "middle", "7"], [14, "middle", "14"], [23, "middle", "23"], [30, "end", "30 days ago"]]) {
    svg.append(shape("text", { x: days * step, y: height - 5, "text-anchor": anchor }, text));
  }
  return { svg, said };
}

/** A bar for the used share of a limit. */
function drawRoom(used, limit) {
  const share = limit > 0 ? Math.min(1, used / limit) : 1;
  return shape("svg", { viewBox: "0 0 100 6", preserveAspectRatio: "none", "aria-hidden": "true" },
    shape("rect", { class: "track", width: 100, height: 6, rx: 3 }),
    shape("rect", { class: "used", "data-full": used >= limit ? "yes" : "no", width: share * 100, height: 6, rx: 3 }));
}
