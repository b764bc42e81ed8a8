// The persons of a video as values: who is where, what is answered, what comes next. Knows no page.

/** Persons of a video, kept as the server tells them. */
export class Video {
  #tracks = new Map();
  #at = new Map();
  #figures = new Map();
  #order = null;
  #looks = null;
  boxes = 0;

  constructor(told) {
    Object.assign(this, {
      id: told.id, width: told.width, height: told.height, first: told.keyframes[0], last: told.keyframes[1],
    });
    for (const row of told.rows) this.#put(row);
    this.#note(told);
  }

  /** Take an answer to an edit. */
  apply(told) {
    const before = new Map();
    const remember = (person, second) => before.set(`${person}/${second}`, [person, second, String(this.row(person, second)?.box)]);
    for (const [second, person] of told.removed) {
      remember(person, second);
      this.#drop(person, second);
    }
    for (const row of told.rows) {
      if (!before.has(`${row.person}/${row.second}`)) remember(row.person, row.second);
      this.#put(row);
    }
    for (const [person, second, box] of before.values()) this.boxes += String(this.row(person, second)?.box) !== box;
    this.#note(told);
  }

  row(person, second) {
    return this.#tracks.get(person)?.get(second) ?? null;
  }

  has(person) {
    return this.#tracks.has(person);
  }

  /** Rows of a person, by second. */
  track(person) {
    return this.figures(person).rows;
  }

  /** Rows of a keyframe, by person. */
  at(second) {
    return [...(this.#at.get(second) ?? [])].sort((a, b) => a - b).map((person) => this.row(person, second));
  }

  /** Persons by first appearance. */
  get persons() {
    this.#order ??= [...this.#tracks.keys()]
      .map((person) => [this.figures(person).rows[0].second, person])
      .sort((a, b) => a[0] - b[0] || a[1] - b[1])
      .map(([, person]) => person);
    return this.#order;
  }

  /** What a person's rows count. */
  figures(person) {
    let held = this.#figures.get(person);
    if (!held) {
      const rows = [...(this.#tracks.get(person)?.values() ?? [])].sort((a, b) => a.second - b.second);
      const open = rows.filter(needsLook);
      held = { rows, answered: 0, checked: 0, looks: open.length, open };
      for (const row of rows) {
        held.answered += row.actions !== null;
        held.checked += row.checked;
      }
      this.#figures.set(person, held);
    }
    return held;
  }

  /** What all rows count. */
  get totals() {
    const sum = { rows: 0, answered: 0, checked: 0, looks: 0 };
    for (const person of this.#tracks.keys()) {
      const one = this.figures(person);
      sum.rows += one.rows.length;
      sum.answered += one.answered;
      sum.checked += one.checked;
      sum.looks += one.looks;
    }
    return sum;
  }

  /** Rows that need a look, by second and person. */
  get looks() {
    this.#looks ??= this.persons
      .flatMap((person) => this.figures(person).open)
      .sort((a, b) => a.second - b.second || a.person - b.person);
    return this.#looks;
  }

  /** The next row that `wanted` takes: later ones of the person, other persons in order, earlier ones; or null. */
  next(person, second, wanted) {
    const order = this.persons;
    const start = Math.max(0, order.indexOf(person));
    const own = order[start] === person ? this.track(person) : [];
    const later = own.find((row) => row.second > second && wanted(row));
    if (later) return later;
    for (let step = order[start] === person ? 1 : 0; step < order.length; step += 1) {
      const found = this.track(order[(start + step) % order.length]).find(wanted);
      if (found) return found;
    }
    return own.find((row) => row.second <= second && wanted(row)) ?? null;
  }

  /** The row of the person before or after a second, or null. */
  beside(person, second, step) {
    const rows = this.track(person);
    if (step > 0) return rows[after(rows, second)] ?? null;
    return rows[after(rows, second - 1) - 1] ?? null;
  }

  #put(row) {
    if (!this.#tracks.has(row.person)) this.#tracks.set(row.person, new Map());
    this.#tracks.get(row.person).set(row.second, row);
    if (!this.#at.has(row.second)) this.#at.set(row.second, new Set());
    this.#at.get(row.second).add(row.person);
    this.#changed(row.person);
  }

  #drop(person, second) {
    const track = this.#tracks.get(person);
    if (!track?.delete(second)) return;
    if (!track.size) this.#tracks.delete(person);
    this.#at.get(second).delete(person);
    this.#changed(person);
  }

  #changed(person) {
    this.#figures.delete(person);
    this.#order = this.#looks = null;
  }

  #note(told) {
    this.revision = told.revision;
    this.canUndo = told.can_undo;
    this.canRedo = told.can_redo;
  }
}

/** Index of the first row after a second. */
function after(rows, second) {
  let low = 0;
  let high = rows.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (rows[middle].second > second) high = middle;
    else low = middle + 1;
  }
  return low;
}

export const untouched = (row) => row.actions === null;
export const unchecked = (row) => row.actions !== null && !row.checked;

/** Whether a row has a doubt or a warning that no second look has settled. */
export function needsLook(row) {
  return !row.checked && (row.doubts.length > 0 || (row.warnings ?? []).length > 0);
}

/** What a row's warnings say; the server words its doubts among them. */
export function lookWords(row) {
  return row.warnings?.length ? row.warnings : row.doubts;
}

/** The state of a row as one word. */
export function stateOf(row) {
  if (row.actions === null) return "untouched";
  if (row.checked) return row.actions.length ? "checked" : "checked none";
  return row.actions.length ? "answered" : "none";
}

/** The cells of a person's strip: rows, and the stretches without one; the current second always has its own. */
export function cellsOf(video, person, second) {
  const cells = [];
  let next = video.first;
  const gap = (until) => {
    if (until < next) return;
    if (second >= next && second <= until) {
      if (second > next) cells.push({ from: next, until: second - 1 });
      cells.push({ second, row: null });
      if (second < until) cells.push({ from: second + 1, until });
    } else cells.push({ from: next, until });
  };
  for (const row of person === null ? [] : video.track(person)) {
    gap(row.second - 1);
    cells.push({ second: row.second, row });
    next = row.second + 1;
  }
  gap(video.last);
  return cells;
}

// the more frequent actions of AVA; they get the keys that are easiest to reach
const USUAL = [
  "stand", "sit", "walk", "bend/bow (at the waist)", "lie/sleep", "dance", "run/jog", "crouch/kneel", "get up",
  "carry/hold (an object)", "touch (an object)", "ride (e.g., a bike, a car, a horse)", "answer phone", "smoke", "eat",
  "drink", "read", "watch (e.g., TV)", "play musical instrument", "open (e.g., a window, a car door)", "write",
  "lift/pick up", "watch (a person)", "talk to (e.g., self, a person, a group)", "listen to (a person)",
  "fight/hit (a person)", "hug (a person)", "hand wave", "grab (a person)", "give/serve (an object) to (a person)",
];
const ROWS = { pose: "123456789qwertyuiop", object: "asdfghjkl", person: "zxcvbnm" };
export const GROUPS = { pose: "Pose, movement", object: "With an object", person: "With persons" };

/** Each action's key: poses on the upper rows, objects on the middle row, persons on the lower one; then what is left. */
export function keysOf(actions, own = {}) {
  const keys = new Map();
  const taken = new Set();
  const give = (action, key) => {
    keys.set(action.id, key);
    taken.add(key);
  };
  for (const action of actions) {
    const key = own[action.id];
    if (typeof key === "string" && /^[a-z1-9]$/.test(key) && !taken.has(key)) give(action, key);
  }
  const rank = (action) => (USUAL.indexOf(action.name) + USUAL.length + 1) % (USUAL.length + 1);
  const waiting = actions.filter((one) => !keys.has(one.id)).sort((a, b) => rank(a) - rank(b) || a.id - b.id);
  for (const action of waiting) {
    const key = [...ROWS[action.group]].find((one) => !taken.has(one));
    if (key) give(action, key);
  }
  const left = [...Object.values(ROWS).join("")].filter((one) => !taken.has(one));
  for (const action of waiting) if (!keys.has(action.id) && left.length) give(action, left.shift());
  return keys;
}

/** Actions whose names fit what was typed: starts of the name, then of words, then anywhere, then letters in order. */
export function fitting(actions, typed) {
  const text = typed.trim().toLowerCase();
  const score = (name) => {
    if (!text || name.startsWith(text)) return 0;
    if (name.split(/[^\p{L}\p{N}]+/u).some((word) => word.startsWith(text))) return 1;
    if (name.includes(text)) return 2;
    let at = -1;
    return [...text].every((letter) => (at = name.indexOf(letter, at + 1)) >= 0) ? 3 : 4;
  };
  const ranked = actions.map((action) => [String(action.id) === text ? 0 : score(action.name.toLowerCase()), action]);
  // letters in order fit almost anything: only where nothing else does
  const worst = ranked.some(([rank]) => rank < 3) ? 2 : 3;
  return ranked
    .filter(([rank]) => rank <= worst)
    .sort((a, b) => a[0] - b[0] || a[1].id - b[1].id)
    .map(([, action]) => action);
}

/** A box moved and resized by steps, kept in the frame and never smaller than 1 %. */
export function nudged(box, moveX, moveY, growX, growY) {
  const [x1, y1, x2, y2] = box;
  const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
  const round = (value) => Math.round(value * 1000) / 1000;
  const x = clamp(x1 + moveX, 0, 1 - (x2 - x1));
  const y = clamp(y1 + moveY, 0, 1 - (y2 - y1));
  const right = clamp(x + (x2 - x1) + growX, x + 0.01, 1);
  const low = clamp(y + (y2 - y1) + growY, y + 0.01, 1);
  return [x, y, right, low].map(round);
}
