// Long lists of which only the visible part is on the page: persons, what to look at, and the strip of a track.

import { addresses } from "./page_api.js";
import { cellsOf, lookWords, needsLook, stateOf } from "./page_model.js";

const BEYOND = 3;
const CELL = 104;
const GAP = 62;
const PERSON = 34;
const LOOK = 38;
const CROP = 160;

/** What each state is called and which sign it has; the sign tells it without colour. */
export const STATES = {
  untouched: { sign: "\u25cb", says: "untouched" },
  answered: { sign: "\u25cf", says: "answered" },
  none: { sign: "\u2205", says: "no action" },
  checked: { sign: "\u2713", says: "checked" },
  "checked none": { sign: "\u2713\u2205", says: "checked, no action" },
};

/** An element with attributes and text or children. */
export function make(tag, attributes = {}, ...inside) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...inside);
  return element;
}

/** A scrolled list of items of known sizes. */
export class Sheet {
  #scroll;
  #sheet;
  #across;
  #items = [];
  #mark = null;
  #ends = [];
  #build;
  #drawn = new Map();
  #asked = 0;

  /** @param build makes the element of an item and its index. */
  constructor(scroll, sheet, across, build) {
    this.#scroll = scroll;
    this.#sheet = sheet;
    this.#across = across;
    this.#build = build;
    scroll.addEventListener("scroll", () => this.#soon(), { passive: true });
    new ResizeObserver(() => this.#soon()).observe(scroll);
  }

  /** Show other items. @param sizes of each, in pixels; mark: items with the same mark keep their element. */
  fill(items, sizes, mark) {
    this.#items = items;
    this.#mark = mark;
    let end = 0;
    this.#ends = sizes.map((size) => (end += size));
    this.#sheet.style[this.#across ? "width" : "height"] = `${end}px`;
    this.#draw();
  }

  /** Scroll so that an item is in view, in the middle where it was not. */
  reveal(index) {
    if (index < 0 || index >= this.#items.length) return;
    const from = this.#start(index);
    const size = this.#ends[index] - from;
    const [at, room] = this.#across
      ? [this.#scroll.scrollLeft, this.#scroll.clientWidth]
      : [this.#scroll.scrollTop, this.#scroll.clientHeight];
    if (from < at + size / 2 || from + size * 1.5 > at + room) {
      this.#scroll[this.#across ? "scrollLeft" : "scrollTop"] = from - (room - size) / 2;
    }
    this.#draw();
  }

  #start(index) {
    return index ? this.#ends[index - 1] : 0;
  }

  #soon() {
    if (!this.#asked) this.#asked = requestAnimationFrame(() => this.#draw());
  }

  #draw() {
    cancelAnimationFrame(this.#asked);
    this.#asked = 0;
    const [at, room] = this.#across
      ? [this.#scroll.scrollLeft, this.#scroll.clientWidth]
      : [this.#scroll.scrollTop, this.#scroll.clientHeight];
    let first = this.#ends.findIndex((end) => end > at);
    first = Math.max(0, (first < 0 ? this.#items.length : first) - BEYOND);
    const kept = new Map();
    let beyond = 0;
    for (let index = first; index < this.#items.length && beyond < BEYOND; index += 1) {
      const item = this.#items[index];
      const mark = this.#mark(item, index);
      const element = this.#drawn.get(mark) ?? this.#build(item, index);
      element.style[this.#across ? "left" : "top"] = `${this.#start(index)}px`;
      element.style[this.#across ? "width" : "height"] = `${this.#ends[index] - this.#start(index)}px`;
      kept.set(mark, element);
      if (this.#start(index) > at + room) beyond += 1;
    }
    for (const [mark, element] of this.#drawn) if (!kept.has(mark)) element.remove();
    for (const element of kept.values()) if (!element.isConnected) this.#sheet.append(element);
    this.#drawn = kept;
  }
}

/** The persons of a video. @param picked called with the person clicked. */
export function personSheet(scroll, sheet, picked) {
  let shown = null;
  const build = ({ person, current, figures }, index) => {
    const { rows, answered, checked, looks } = figures;
    const done = answered === rows.length;
    const sign = make("span", { class: "sign", "aria-hidden": "true" }, done ? (checked === rows.length ? "\u2713" : "\u25cf") : "\u25cb");
    const bar = make("span", { class: "bar", "aria-hidden": "true" });
    for (const [name, part] of [["checked", checked], ["answered", answered - checked]]) {
      const piece = make("span", { class: name });
      piece.style.width = `${(100 * part) / rows.length}%`;
      bar.append(piece);
    }
    const says = `person ${person}, ${answered} of ${rows.length} answered, ${checked} checked, ${looks} to look at`;
    const element = make(
      "div",
      { class: `person${current ? " current" : ""}`, role: "option", id: `person-${person}`, "aria-selected": String(current),
        "aria-label": says, title: says, "aria-posinset": String(index + 1), "aria-setsize": String(shown.persons.length) },
      sign, make("b", {}, String(person)), bar,
      make("span", { class: "count" }, `${answered}/${rows.length}`),
      make("span", { class: "look" }, looks ? `?${looks}` : ""),
    );
    element.addEventListener("click", () => picked(person));
    return element;
  };
  const list = new Sheet(scroll, sheet, false, build);
  return (video, current) => {
    shown = video;
    const items = video.persons.map((person) => ({ person, current: person === current, figures: video.figures(person) }));
    list.fill(items, items.map(() => PERSON), (one, index) =>
      `${one.person}/${one.current}/${one.figures.rows.length}/${one.figures.answered}/${one.figures.checked}/${one.figures.looks}/${index}/${items.length}`);
    list.reveal(items.findIndex((one) => one.current));
  };
}

/** What deserves a look, of all persons. @param picked called with the row clicked. */
export function lookSheet(scroll, sheet, picked) {
  const build = ({ row, current }) => {
    const words = lookWords(row).join("; ");
    const element = make(
      "div", { class: `lookrow${current ? " current" : ""}`, role: "listitem", title: words },
      make("b", {}, `person ${row.person}, second ${row.second}`), make("span", {}, words),
    );
    element.addEventListener("click", () => picked(row));
    return element;
  };
  const list = new Sheet(scroll, sheet, false, build);
  return (looks, person, second) => {
    const items = looks.map((row) => ({ row, current: row.person === person && row.second === second }));
    list.fill(items, items.map(() => LOOK), ({ row, current }) => `${row.person}/${row.second}/${current}/${lookWords(row)}`);
    list.reveal(items.findIndex((one) => one.current));
  };
}

/** The keyframes of a person. @param picked called with the second clicked. */
export function stripSheet(scroll, sheet, names, picked) {
  let video = null;
  const build = (cell) => {
    if (cell.until !== undefined) {
      const long = cell.until - cell.from + 1;
      const element = make("div", { class: "cell away", role: "listitem" }, make("span", {}, `away\n${long} s`));
      element.addEventListener("click", () => picked(cell.from));
      return element;
    }
    const { row, second, current } = cell;
    const state = row ? stateOf(row) : "away";
    const look = row !== null && needsLook(row);
    const says = row
      ? `second ${second}: ${STATES[state].says}${look ? `, ${lookWords(row).join("; ")}` : ""}${(row.actions ?? []).map((id) => `, ${names(id)}`).join("")}`
      : `second ${second}: no box of this person`;
    const element = make("div", {
      class: `cell ${state}${current ? " current" : ""}${look ? " doubtful" : ""}`, role: "listitem", "aria-label": says, title: says,
      "aria-current": String(current), "data-second": String(second), "data-state": state,
    });
    const head = make("span", { class: "head" }, make("b", {}, String(second)), make("span", { class: "sign" }, row ? STATES[state].sign : ""));
    if (look) head.append(make("span", { class: "look" }, "?"));
    element.append(head);
    if (row) {
      const crop = make("img", { alt: "", decoding: "async", draggable: "false" });
      crop.src = addresses.crop(video.id, row, CROP);
      element.append(crop);
    } else element.append(make("span", { class: "nobody" }, "no box"));
    const words = make("span", { class: "words" });
    for (const id of row?.actions ?? []) words.append(make("span", {}, names(id)));
    if (row?.actions?.length === 0) words.append(make("span", { class: "soft" }, "no action"));
    element.append(words);
    element.addEventListener("click", () => picked(second));
    return element;
  };
  const list = new Sheet(scroll, sheet, true, build);
  return (of, person, second) => {
    video = of;
    const cells = cellsOf(of, person, second).map((cell) => ({ ...cell, current: cell.second === second }));
    list.fill(cells, cells.map((cell) => (cell.until === undefined ? CELL : GAP)), (cell) =>
      cell.until === undefined
        ? `${of.id}/${person}/${cell.second}/${cell.current}/${cell.row && [cell.row.actions === null ? "" : `+${cell.row.actions}`, cell.row.checked, cell.row.box, lookWords(cell.row)].join("/")}`
        : `${cell.from}-${cell.until}`);
    list.reveal(cells.findIndex((cell) => cell.current));
  };
}

/** Draw all keyframes of a person at once: the higher the bar, the further the work. */
export function drawOverview(canvas, video, person, second, colours) {
  const scale = window.devicePixelRatio || 1;
  const wide = Math.max(1, Math.round(canvas.clientWidth * scale));
  const high = Math.max(1, Math.round(canvas.clientHeight * scale));
  Object.assign(canvas, { width: wide, height: high });
  const ink = canvas.getContext("2d");
  const count = Math.max(1, video.last - video.first + 1);
  const x = (at) => ((at - video.first) / count) * wide;
  const levels = { untouched: 0.3, answered: 0.65, none: 0.65, checked: 1, "checked none": 1 };
  const gap = wide / count > 4 * scale ? scale : 0;
  for (const row of person === null ? [] : video.track(person)) {
    const state = stateOf(row);
    const tall = (high - 4 * scale) * levels[state];
    ink.fillStyle = colours[state.split(" ")[0]];
    ink.fillRect(x(row.second), high - tall, Math.max(scale, x(row.second + 1) - x(row.second) - gap), tall);
    if (needsLook(row)) {
      ink.fillStyle = colours.look;
      ink.fillRect(x(row.second), 0, Math.max(2 * scale, x(row.second + 1) - x(row.second) - gap), 3 * scale);
    }
  }
  ink.fillStyle = colours.ink;
  ink.fillRect(x(second + 0.5) - scale, 0, 2 * scale, high);
}
