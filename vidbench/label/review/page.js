// The page: where one is, what each key does, and what is shown of it.

import { addresses, ask, Order, Refusal, Saver } from "./page_api.js";
import { keysOf, unchecked, untouched, Video, needsLook } from "./page_model.js";
import { keep, kept, startPlace } from "./page_kept.js";
import { BOX_COMMANDS, BOX_STEPS, commandOf, pressOf, shown } from "./page_keys.js";
import { ActionPanel, actionItems, Asker, personItems, writeHelp } from "./page_panel.js";
import { drawOverview, lookSheet, make, personSheet, stripSheet } from "./page_sheets.js";
import { Player, Still } from "./page_views.js";

const at = (id) => document.getElementById(id);
const work = at("work");
const now = { set: null, counts: {}, classes: {}, video: null, person: null, second: 0, pass: false, keys: new Map(), armed: null, step: 0.01 };
const names = (id) => now.set.actions.find((one) => one.id === id)?.name ?? `action ${id}`;

const order = new Order(failed, (busy) => work.setAttribute("aria-busy", String(busy)));
const saver = new Saver(tellSaved);
const asker = new Asker(() => work.focus());
const player = new Player(at("play-canvas"), at("play-says"), at("play-speed"));
const still = new Still(at("still-canvas"), show, (person) => order.take(() => go(person, now.second)));
const panel = new ActionPanel(at("groups"), (id) => !refused() && order.take(() => toggle(id)));
const persons = personSheet(at("persons-scroll"), at("persons-sheet"), (person) => order.take(() => goPerson(person)));
const looks = lookSheet(at("looks-scroll"), at("looks-sheet"), (row) => order.take(() => go(row.person, row.second)));
const strip = stripSheet(at("strip"), at("strip-sheet"), names, (second) => order.take(() => go(now.person, second)));

// --- telling -------------------------------------------------------------------------------------------------------

function tellSaved(state, words) {
  at("saved").dataset.state = state;
  at("saved").textContent = words;
}

function says(words, bad = false) {
  at("says").textContent = words;
  at("says").classList.toggle("bad", bad);
}

function failed(error) {
  const dropped = order.drop();
  const lost = dropped ? `; ${dropped} more key presses were not taken` : "";
  if (!(error instanceof Refusal)) console.error(error);
  says(`${error.message}${lost}`, true);
  if (now.video) at("videos").value = now.video.id;
}

/** Whether nothing may be changed now, as something is not saved. */
function refused() {
  if (saver.failing) says(saver.ended ? "Nothing more is taken: the server has ended." : "Not taken: the edit before is not saved yet. It is tried again.", true);
  return saver.failing;
}

// --- where one is --------------------------------------------------------------------------------------------------

const row = () => (now.person === null ? null : now.video.row(now.person, now.second));

function go(person, second) {
  leaveBox();
  now.person = person;
  now.second = Math.min(Math.max(second, now.video.first), Math.max(now.video.first, now.video.last));
  keep(now.set.folder, { video: now.video.id, person, second: now.second });
  show();
}

/** To a person: at this second where it is there, else its first untouched keyframe, else its first one. */
function goPerson(person) {
  if (now.video.row(person, now.second)) return go(person, now.second);
  const rows = now.video.track(person);
  return go(person, (rows.find(untouched) ?? rows[0]).second);
}

function goRow(found, words) {
  if (!found) return says(words);
  return go(found.person, found.second);
}

function stepPerson(step) {
  const all = now.video.persons;
  if (!all.length) return says("Nobody is in this video. Shift N draws a person.");
  const index = all.indexOf(now.person);
  return goPerson(all[(index < 0 ? 0 : index + step + all.length) % all.length]);
}

function stepVideo(step) {
  const all = now.set.videos.filter((one) => !one.error || one.id === now.video.id);
  const next = all[all.findIndex((one) => one.id === now.video.id) + step];
  return next ? openVideo(next.id) : says(step > 0 ? "This is the last video." : "This is the first video.");
}

async function openVideo(id, person = null, second = null) {
  leaveBox();
  says("");
  const told = await ask(addresses.video(id));
  now.video = new Video(told);
  const { video } = now;
  const start = video.row(person, second) ?? (video.has(person) ? video.track(person)[0] : null)
    ?? video.next(null, -1, untouched) ?? (video.persons.length ? video.track(video.persons[0])[0] : null);
  at("videos").value = id;
  go(start ? start.person : null, second !== null && start?.person === person ? second : start ? start.second : video.first);
  if (told.note) says(told.note, true);
  else if (video.last < video.first) says("This video has no keyframes: it is too short.");
  else if (!start) says("Nobody is in this video. Shift N draws a person.");
}

// --- edits ---------------------------------------------------------------------------------------------------------

async function send(kind, content, what) {
  if (saver.ended) return null;
  const { video } = now;
  try {
    const told = await saver.post(addresses[kind](video.id), { revision: video.revision, ...content }, what);
    video.apply(told);
    count(told);
    says(told.says || what);
    settle();
    return told;
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    if (error.status === 409) {
      const dropped = order.drop();
      await openVideo(video.id, now.person, now.second);
      count(await ask("api/set"));
      show();
      const why = error.tried
        ? `See whether it is done: ${what}. The connection broke while it was saved`
        : `Not done: ${what}. The video was changed elsewhere, as in another tab`;
      says(`${why}; here is how it stands now.${dropped ? ` ${dropped} more key presses were not taken.` : ""}`, true);
      return null;
    }
    throw error;
  }
}

function count(told) {
  now.counts = told.counts;
  now.classes = told.classes;
}

const edit = (content, what) => send("edit", { edit: content }, what);

/** After an edit: where one is may be gone. */
function settle() {
  const { video } = now;
  if (now.person !== null && !video.has(now.person)) {
    const near = video.at(now.second)[0] ?? (video.persons.length ? video.track(video.persons[0])[0] : null);
    go(near ? near.person : null, near ? near.second : now.second);
  } else if (now.person === null && video.persons.length) goPerson(video.persons[0]);
  else go(now.person, now.second);
}

/** The current row, or words that there is none. */
function here() {
  const found = row();
  if (!found) says(now.person === null ? "No person is chosen." : `Person ${now.person} has no box at second ${now.second}. Shift B draws one.`, true);
  return found;
}

function toggle(action) {
  const found = here();
  if (!found) return null;
  const on = !(found.actions ?? []).includes(action);
  return edit({ kind: "toggle", person: found.person, seconds: [found.second], action, on }, `${names(action)} ${on ? "on" : "off"}`);
}

function fill(until, what) {
  const found = here();
  return found && edit({ kind: "fill", person: found.person, from: found.second, until }, what);
}

/** Ask for a second press of the same key; @returns whether this was it. */
function sure(mark, words) {
  if (now.armed === mark) {
    now.armed = null;
    return true;
  }
  now.armed = mark;
  says(words, true);
  return false;
}

function confirm() {
  const found = row();
  if (!found || !unchecked(found)) return onNext();
  return edit({ kind: "check", person: found.person, seconds: [found.second], on: true }, "checked").then((told) => told && onNext());
}

function onNext() {
  if (now.pass) return goRow(now.video.next(now.person, now.second, unchecked), "All that is answered in this video is checked. Page down leads to the next video.");
  return goRow(now.video.next(now.person, now.second, untouched), "Nothing is untouched in this video. Page down leads to the next video.");
}

function leaveBox() {
  if (!still.draft) return;
  still.draft = null;
  work.classList.remove("drawing");
}

function drawBox(person) {
  const held = person === null ? null : now.video.row(person, now.second);
  const near = person === null ? null : now.video.beside(person, now.second, -1) ?? now.video.beside(person, now.second, 1);
  if (now.video.last < now.video.first) return says("This video has no keyframes.", true);
  still.draft = { person, box: held?.box ?? near?.box ?? [0.4, 0.25, 0.6, 0.85], held: held !== null };
  work.classList.add("drawing");
  show();
  return says(`Box of ${person === null ? "a new person" : `person ${person}`}, not saved yet: arrows move, Shift with arrows resizes, Enter saves, Escape leaves.`);
}

async function saveBox() {
  const { person, box, held } = still.draft;
  leaveBox();
  const content = held ? { kind: "box", person, second: now.second, box } : { kind: "add", second: now.second, box, person };
  const told = await edit(content, "box");
  const made = told?.rows.find((one) => one.second === now.second && (person === null || one.person === person));
  if (person === null && made) go(made.person, made.second);
  else show();
}

function askPerson(title, done) {
  if (now.person === null) return says("No person is chosen.", true);
  return asker.ask({
    title, note: "Type the number, Enter takes it, Escape leaves.", nothing: "There is no such person.",
    items: personItems(now.video, now.person), done: (other) => order.take(() => done(other)),
  });
}

const commands = {
  later: () => goRow(now.video.beside(now.person, now.second, 1), "This is the person's last keyframe."),
  earlier: () => goRow(now.video.beside(now.person, now.second, -1), "This is the person's first keyframe."),
  secondLater: () => go(now.person, now.second + 1),
  secondEarlier: () => go(now.person, now.second - 1),
  first: () => now.person !== null && goRow(now.video.track(now.person)[0], ""),
  last: () => now.person !== null && goRow(now.video.track(now.person).at(-1), ""),
  nextPerson: () => stepPerson(1),
  previousPerson: () => stepPerson(-1),
  goto: () => asker.ask({
    title: "To person", note: "Type the number, Enter takes it, Escape leaves.", nothing: "There is no such person.",
    items: personItems(now.video, null), done: (person) => order.take(() => goPerson(person)),
  }),
  onward: () => (now.pass ? confirm() : onNext()),
  nextLook: () => goRow(now.video.next(now.person, now.second, needsLook), "Nothing in this video has an open doubt or warning."),
  nextVideo: () => stepVideo(1),
  previousVideo: () => stepVideo(-1),
  pause: () => player.pause(),
  slower: () => player.pace(-1),
  faster: () => player.pace(1),
  search: () => here() && asker.ask({
    title: `Action of person ${now.person} at second ${now.second}`, note: "Enter toggles it, arrows choose, Escape leaves.",
    nothing: "No action is called so.", items: actionItems(now.set.actions, now.keys, row()), done: (id) => order.take(() => toggle(id)),
  }),
  none: () => {
    const found = here();
    const on = found?.actions?.length !== 0;
    return found && edit({ kind: "none", person: found.person, seconds: [found.second], on }, on ? "no action" : "no action taken back");
  },
  clear: () => {
    const found = here();
    return found && edit({ kind: "set", person: found.person, seconds: [found.second], actions: null }, "answer taken back");
  },
  copy: () => {
    const found = here();
    if (!found) return null;
    const before = now.video.beside(found.person, found.second, -1);
    if (!before || before.actions === null) return says(before ? "The keyframe before is untouched." : "This is the person's first keyframe.", true);
    return edit({ kind: "set", person: found.person, seconds: [found.second], actions: before.actions }, `answer of second ${before.second}`);
  },
  fillChange: () => fill("change", "from here until it changes"),
  fillEnd: () => fill("end", "from here to the end"),
  fillWhole: () => fill("whole", "whole track"),
  giveKey: () => asker.ask({
    title: "Give a key to which action", note: "Enter takes it, arrows choose, Escape leaves.", nothing: "No action is called so.",
    items: actionItems(now.set.actions, now.keys, null),
    done: (id) => asker.ask({
      title: `Key for ${names(id)}`, note: "A letter or a digit from 1 to 9, then Enter.", nothing: "A letter or a digit from 1 to 9.",
      items: (typed) => (/^[a-z1-9]$/i.test(typed.trim()) ? [{ name: typed.trim().toLowerCase(), value: typed.trim().toLowerCase() }] : []),
      done: (key) => ownKey(id, key),
    }),
  }),
  pass: () => {
    now.pass = !now.pass;
    show();
    says(now.pass ? "Second pass: Enter confirms what is shown and goes on." : "First pass: Enter goes to the next untouched keyframe.");
    if (now.pass && !(row() && unchecked(row()))) onNext();
  },
  check: () => {
    const found = here();
    return found && edit({ kind: "check", person: found.person, seconds: [found.second], on: !found.checked }, found.checked ? "check taken back" : "checked");
  },
  checkTrack: () => {
    if (now.person === null) return says("No person is chosen.", true);
    const seconds = now.video.track(now.person).filter(unchecked).map((one) => one.second);
    if (!seconds.length) return says(`Nothing of person ${now.person} is left to check.`);
    return edit({ kind: "check", person: now.person, seconds, on: true }, "track checked");
  },
  merge: () => askPerson(`Merge person ${now.person} into person`, async (into) => {
    const told = await edit({ kind: "merge", person: now.person, into }, `merge into ${into}`);
    if (told) go(into, now.second);
  }),
  split: () => now.person !== null && edit({ kind: "split", person: now.person, from: now.second }, "split"),
  swap: () => askPerson(`From second ${now.second} on, swap person ${now.person} with person`, (b) =>
    edit({ kind: "swap", a: now.person, b, from: now.second }, `swap with ${b}`)),
  deleteBox: () => {
    const found = here();
    if (!found || !sure(`box ${found.person} ${found.second}`, `Press it again to delete the box of person ${found.person} at second ${found.second}.`)) return null;
    return edit({ kind: "delete", person: found.person, seconds: [found.second] }, "box deleted");
  },
  deleteTrack: () => {
    if (now.person === null || !sure(`track ${now.person}`, `Press it again to delete person ${now.person} with all boxes.`)) return null;
    return edit({ kind: "delete", person: now.person, seconds: null }, "person deleted");
  },
  box: () => (now.person === null ? drawBox(null) : drawBox(now.person)),
  draw: () => drawBox(null),
  undo: () => (now.video.canUndo ? send("undo", {}, "undo") : says("There is nothing to undo.")),
  redo: () => (now.video.canRedo ? send("redo", {}, "redo") : says("There is nothing to redo.")),
  help: () => help(true),
  controls: () => at("videos").focus(),
};

function ownKey(id, key) {
  const own = { ...(kept(now.set.folder).keys ?? {}) };
  for (const [other, held] of Object.entries(own)) if (held === key) delete own[other];
  own[id] = key;
  keep(now.set.folder, { keys: own });
  layKeys();
  show();
  says(`${shown(key)} is now the key of ${names(id)}.`);
}

function layKeys() {
  now.keys = keysOf(now.set.actions, kept(now.set.folder).keys ?? {});
  panel.build(now.set.actions, now.keys);
  writeHelp(at("help-sheet"), now.set.actions, now.keys);
}

function help(open) {
  at("help").hidden = !open;
  (open ? at("help") : work).focus();
}

// --- keys ----------------------------------------------------------------------------------------------------------

/** What a key press does in its turn. */
function act(press, char, repeated) {
  if (asker.open) return asker.press(press, char);
  if (now.armed && !/^(Delete|Shift\+)/.test(press)) now.armed = null;
  if (still.draft) return actOnBox(press);
  const command = commandOf(press);
  if (command) return repeated && !command.repeats ? null : commands[command.does]();
  if (press === "Escape") return says("");
  const action = [...now.keys].find(([, key]) => key === press)?.[0];
  if (action !== undefined) return repeated ? null : toggle(action);
  if (/^[a-z1-9]$/.test(press)) return says(`${shown(press)} is the key of no action; / finds one by its name.`);
  if (/^Shift\+[a-z]$/.test(press)) return says(`${shown(press)} does nothing; ? shows the keys.`);
  return null;
}

function actOnBox(press) {
  const move = BOX_COMMANDS.find((one) => one.keys.includes(press));
  if (move) {
    still.nudge(...move.step.map((one) => one * now.step));
    return showWhere();
  }
  if (press in BOX_STEPS) {
    now.step = BOX_STEPS[press];
    return says(`Steps of ${(now.step * 100).toFixed(1)} % of the frame.`);
  }
  if (press === "Enter") return saveBox();
  if (press === "Escape") {
    leaveBox();
    show();
    return says("The box is as it was.");
  }
  return says("A box is being drawn: Enter saves it, Escape leaves it.", true);
}

const OURS = /^(Shift\+)?(Arrow\w+|Tab|Enter|Home|End|Delete|[a-z])$|^(Space|Backspace|Escape|PageUp|PageDown|F6|[0-9/?.,[\]+-])$|^Ctrl\+(Shift\+)?[zy]$/;

document.addEventListener("keydown", (event) => {
  if ((event.altKey && !event.getModifierState("AltGraph")) || event.isComposing || !now.video) return;
  const press = pressOf(event);
  if (!at("help").hidden) {
    if (press === "Escape" || press === "?") {
      event.preventDefault();
      help(false);
    }
    return;
  }
  const control = event.target.closest?.(".top");
  if (control) {
    if (press === "Escape" || press === "F6") {
      event.preventDefault();
      work.focus();
    }
    return;
  }
  const char = event.key.length === 1 && !event.ctrlKey && !event.metaKey ? event.key : null;
  if (event.target.id === "ask-field" && order.idle) {
    if (/^(Shift\+)?(Escape|Enter|ArrowDown|ArrowUp|Tab)$/.test(press)) {
      event.preventDefault();
      asker.press(press, null);
    }
    return;
  }
  if (!OURS.test(press) && !(asker.open && char !== null)) return;
  event.preventDefault();
  if (saver.failing && press === "Enter") saver.again();
  if (press === "?" && saver.failing) return help(true);
  if (refused()) return;
  const { repeat } = event;
  order.take(() => act(press, char, repeat));
});

at("help-open").addEventListener("click", () => help(true));
at("help").addEventListener("click", (event) => event.target === at("help") && help(false));
at("videos").addEventListener("change", (event) => {
  const { value } = event.target;
  work.focus();
  if (!refused()) order.take(() => openVideo(value));
});
// a click on a list leaves the keys where they are
for (const part of work.children) part.addEventListener("mousedown", (event) => {
  event.preventDefault();
  work.focus();
});
window.addEventListener("beforeunload", (event) => {
  if (saver.saving || saver.failing || still.draft) event.preventDefault();
});
window.addEventListener("resize", () => now.video && show());
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => now.video && show());

// --- showing -------------------------------------------------------------------------------------------------------

function share(part, whole) {
  return whole ? Math.floor((100 * part) / whole) : 0;
}

function showProgress(element, title, { rows, answered, checked }) {
  const bar = make("span", {
    class: "bar", role: "progressbar", "aria-label": `${title}: answered`, "aria-valuenow": String(share(answered, rows)), "aria-valuemin": "0", "aria-valuemax": "100",
  });
  for (const [name, part] of [["checked", checked], ["answered", answered - checked]]) {
    const piece = make("span", { class: name });
    piece.style.width = `${rows ? (100 * part) / rows : 0}%`;
    bar.append(piece);
  }
  const words = `${answered} of ${rows} answered, ${checked} checked`;
  element.replaceChildren(make("span", {}, title), bar, make("span", { class: "count" }, words));
}

function showWhere() {
  at("still-where").textContent = still.draft ? `not saved: ${still.draft.box.map((one) => one.toFixed(3)).join("  ")}` : "";
}

function show() {
  const { video, person, second, set } = now;
  const found = row();
  const totals = video.totals;
  Object.assign(set.videos.find((one) => one.id === video.id), totals);
  const sum = { rows: 0, answered: 0, checked: 0 };
  for (const one of set.videos) for (const name of Object.keys(sum)) sum[name] += one[name];
  showProgress(at("of-video"), "Video", totals);
  showProgress(at("of-set"), "Set", sum);
  at("mode").textContent = still.draft ? "drawing a box" : now.pass ? "second pass" : "first pass";
  at("mode").dataset.mode = still.draft ? "box" : now.pass ? "second" : "first";
  at("persons-count").textContent = String(video.persons.length);
  persons(video, person);
  const open = video.looks;
  at("looks-count").textContent = String(open.length);
  looks(open, person, second);
  strip(video, person, second);
  const style = getComputedStyle(document.documentElement);
  const colours = Object.fromEntries(["untouched", "answered", "none", "checked", "look", "ink"].map((one) => [one, style.getPropertyValue(`--${one}`).trim()]));
  drawOverview(at("overview"), video, person, second, colours);
  panel.show(found, now.counts, now.classes);
  at("whose").textContent = person === null ? "Nobody" : `Person ${person}, second ${second}`;
  const state = !found ? "no box here" : found.actions === null ? "untouched" : `${found.actions.length ? found.actions.map(names).join(", ") : "no action"}${found.checked ? ", checked" : ""}`;
  at("answer").textContent = at("answer").title = state;
  at("still-says").textContent = `keyframe ${second}, ${video.at(second).length} persons`;
  showWhere();
  if (video.last >= video.first) {
    player.show(video, second, person);
    still.show(video, second, person);
  } else {
    player.clear();
    still.clear();
  }
  at("hints").textContent = still.draft
    ? "\u2190\u2191\u2192\u2193 move \u00b7 Shift resize \u00b7 F M C steps \u00b7 Enter save \u00b7 Esc leave"
    : `\u2190 \u2192 keyframe \u00b7 Tab person \u00b7 Enter ${now.pass ? "confirm" : "next untouched"} \u00b7 0 no action \u00b7 / find \u00b7 Shift \u2192 fill \u00b7 Shift U undo`;
  at("told").textContent = person === null ? "" : `Person ${person}, second ${second}: ${state}`;
}

async function start() {
  now.set = await ask("api/set");
  count(now.set);
  document.title = `${now.set.name} \u2013 label review`;
  at("set-name").textContent = now.set.name;
  at("set-name").title = now.set.folder;
  at("videos").replaceChildren(...now.set.videos.map((one) => make("option", { value: one.id }, `${one.id} (${one.error ? "cannot be read" : one.split})`)));
  layKeys();
  tellSaved("saved", "saved");
  if (!now.set.videos.length) return says("The set has no videos.");
  const place = startPlace(now.set);
  order.take(() => openVideo(place.video, place.person ?? null, place.second ?? null));
  work.focus();
  return null;
}

start().catch((error) => {
  tellSaved("failed", "not loaded");
  says(`The set could not be loaded: ${error.message}`, true);
});
