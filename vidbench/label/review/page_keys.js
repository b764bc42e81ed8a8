// Which key does what: one table, from which the page acts and the help is written.

/** The name of a key press: "ArrowLeft", "Shift+ArrowRight", "Shift+m", "Ctrl+z", "a", "7", "/", "?". */
export function pressOf(event) {
  let key = event.key;
  if (key.length === 1) {
    const low = key.toLowerCase();
    // a letter or digit of another script or of a layout with digits under Shift counts by its place
    if (!/[a-z0-9]/.test(low) && /^Key[A-Z]$/.test(event.code) && /\p{L}/u.test(key)) key = event.code[3].toLowerCase();
    else if (!event.shiftKey && /^(Digit|Numpad)[0-9]$/.test(event.code)) key = event.code.at(-1);
    else key = low;
  }
  const shift = event.shiftKey && (key.length > 1 || /[a-z]/.test(key)) ? "Shift+" : "";
  const ctrl = event.metaKey || (event.ctrlKey && !event.getModifierState("AltGraph"));
  return `${ctrl ? "Ctrl+" : ""}${shift}${key === " " ? "Space" : key}`;
}

/** Commands by their keys; `edits` are not repeated while a key is held, and wait for a failed save. */
export const COMMANDS = [
  { part: "Go", keys: ["ArrowRight"], does: "later", says: "next keyframe of the person", repeats: true },
  { part: "Go", keys: ["ArrowLeft"], does: "earlier", says: "previous keyframe of the person", repeats: true },
  { part: "Go", keys: ["."], does: "secondLater", says: "next second, also where the person is away", repeats: true },
  { part: "Go", keys: [","], does: "secondEarlier", says: "previous second, likewise", repeats: true },
  { part: "Go", keys: ["Home"], does: "first", says: "first keyframe of the person" },
  { part: "Go", keys: ["End"], does: "last", says: "last keyframe of the person" },
  { part: "Go", keys: ["Tab", "ArrowDown"], does: "nextPerson", says: "next person, by first appearance", repeats: true },
  { part: "Go", keys: ["Shift+Tab", "ArrowUp"], does: "previousPerson", says: "previous person", repeats: true },
  { part: "Go", keys: ["Shift+g"], does: "goto", says: "to a person by number" },
  { part: "Go", keys: ["Enter"], does: "onward", says: "next untouched keyframe, of this person first; in the second pass: confirm and go on", repeats: false },
  { part: "Go", keys: ["Shift+j"], does: "nextLook", says: "next keyframe with a doubt or warning" },
  { part: "Go", keys: ["PageDown"], does: "nextVideo", says: "next video" },
  { part: "Go", keys: ["PageUp"], does: "previousVideo", says: "previous video" },
  { part: "Look", keys: ["Space"], does: "pause", says: "play or pause" },
  { part: "Look", keys: ["[", "-"], does: "slower", says: "slower" },
  { part: "Look", keys: ["]", "+"], does: "faster", says: "faster" },
  { part: "Answer", keys: ["/"], does: "search", says: "find an action by typing, Enter toggles it" },
  { part: "Answer", keys: ["0"], does: "none", says: "no action: the person does none of them; again: take it back" },
  { part: "Answer", keys: ["Backspace"], does: "clear", says: "take the answer back: untouched" },
  { part: "Answer", keys: ["Shift+ArrowLeft", "Shift+c"], does: "copy", says: "the answer of the person's previous keyframe" },
  { part: "Answer", keys: ["Shift+ArrowRight"], does: "fillChange", says: "this answer from here until the old one changes" },
  { part: "Answer", keys: ["Shift+End"], does: "fillEnd", says: "this answer from here to the end of the track" },
  { part: "Answer", keys: ["Shift+w"], does: "fillWhole", says: "this answer for the whole track" },
  { part: "Answer", keys: ["Shift+k"], does: "giveKey", says: "give an action another key" },
  { part: "Second pass", keys: ["Shift+p"], does: "pass", says: "second pass on or off: Enter confirms and walks through what is answered" },
  { part: "Second pass", keys: ["Shift+y"], does: "check", says: "checked, or not" },
  { part: "Second pass", keys: ["Shift+Enter"], does: "checkTrack", says: "all answered keyframes of the person are checked" },
  { part: "Persons and boxes", keys: ["Shift+m"], does: "merge", says: "merge the person into another one" },
  { part: "Persons and boxes", keys: ["Shift+s"], does: "split", says: "from here on it is another person" },
  { part: "Persons and boxes", keys: ["Shift+x"], does: "swap", says: "swap with another person from here on" },
  { part: "Persons and boxes", keys: ["Delete", "Shift+d"], does: "deleteBox", says: "delete this box; press twice" },
  { part: "Persons and boxes", keys: ["Shift+Delete", "Shift+t"], does: "deleteTrack", says: "delete the person; press twice" },
  { part: "Persons and boxes", keys: ["Shift+b"], does: "box", says: "adjust the box, or draw it where the person has none" },
  { part: "Persons and boxes", keys: ["Shift+n"], does: "draw", says: "draw the box of a new person" },
  { part: "Undo", keys: ["Ctrl+z", "Shift+u"], does: "undo", says: "undo" },
  { part: "Undo", keys: ["Ctrl+Shift+z", "Ctrl+y", "Shift+r"], does: "redo", says: "redo" },
  { part: "Page", keys: ["?"], does: "help", says: "these keys" },
  { part: "Page", keys: ["F6"], does: "controls", says: "to the controls at the top, where Tab and Enter work as usual; Escape leads back" },
];

export const BOX_COMMANDS = [
  { keys: ["ArrowLeft"], step: [-1, 0, 0, 0] },
  { keys: ["ArrowRight"], step: [1, 0, 0, 0] },
  { keys: ["ArrowUp"], step: [0, -1, 0, 0] },
  { keys: ["ArrowDown"], step: [0, 1, 0, 0] },
  { keys: ["Shift+ArrowLeft"], step: [0, 0, -1, 0] },
  { keys: ["Shift+ArrowRight"], step: [0, 0, 1, 0] },
  { keys: ["Shift+ArrowUp"], step: [0, 0, 0, -1] },
  { keys: ["Shift+ArrowDown"], step: [0, 0, 0, 1] },
];
export const BOX_STEPS = { f: 0.002, m: 0.01, c: 0.05 };
export const BOX_HELP = [
  [["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"], "move the box"],
  [["Shift+ArrowLeft", "Shift+ArrowRight", "Shift+ArrowUp", "Shift+ArrowDown"], "move its right and lower side"],
  [["f", "m", "c"], "fine, middle or coarse steps"],
  [["Enter"], "save it; the mouse may draw, move and resize it too"],
  [["Escape"], "leave it as it was"],
];

const byPress = new Map(COMMANDS.flatMap((one) => one.keys.map((key) => [key, one])));

/** The command of a key press, or undefined. */
export const commandOf = (press) => byPress.get(press);

const SHOWN = {
  ArrowLeft: "\u2190", ArrowRight: "\u2192", ArrowUp: "\u2191", ArrowDown: "\u2193", PageDown: "Page down", PageUp: "Page up",
  Delete: "Del",
};

/** A key press as people write it. */
export function shown(press) {
  return press
    .split(/\+(?=.)/)
    .map((one) => SHOWN[one] ?? (one.length === 1 ? one.toUpperCase() : one))
    .join(" ");
}
