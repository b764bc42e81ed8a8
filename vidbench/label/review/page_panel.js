// The panel of actions, the field that asks for a number or an action, and the help.

import { fitting, GROUPS } from "./page_model.js";
import { BOX_HELP, COMMANDS, shown } from "./page_keys.js";
import { make } from "./page_sheets.js";

const MOST_FOUND = 12;

/** Actions in the order in which they got their keys, and those without one after them. */
function inOrder(actions, keys) {
  const places = new Map([...keys.keys()].map((id, place) => [id, place]));
  return [...actions].sort((a, b) => (places.get(a.id) ?? Infinity) - (places.get(b.id) ?? Infinity) || a.id - b.id);
}

/** The actions by group, with keys, counts and what holds for a row. */
export class ActionPanel {
  #root;
  #buttons = new Map();

  /** @param toggled called with the id of the action that was clicked. */
  constructor(root, toggled) {
    this.#root = root;
    root.addEventListener("click", (event) => {
      const button = event.target.closest("button[data-action]");
      if (button) toggled(Number(button.dataset.action));
    });
  }

  /** Lay out all actions of a set. */
  build(actions, keys) {
    this.#buttons.clear();
    this.#root.replaceChildren();
    for (const [group, title] of Object.entries(GROUPS)) {
      const own = actions.filter((one) => one.group === group);
      if (!own.length) continue;
      const list = make("div", { class: "list" });
      for (const action of inOrder(own, keys)) list.append(this.#button(action, keys.get(action.id)));
      this.#root.append(make("div", { class: "group", role: "group", "aria-label": title }, make("h3", {}, title), list));
    }
  }

  /** Show which hold for a row, how many rows of the set have each, and what is to be said of rare ones. */
  show(row, counts, classes) {
    for (const [id, { button, count, few }] of this.#buttons) {
      const on = row?.actions?.includes(id) ?? false;
      if (button.getAttribute("aria-checked") !== String(on)) button.setAttribute("aria-checked", String(on));
      count.textContent = String(counts[id] ?? 0);
      few.textContent = classes[id] && counts[id] ? "\u25bf" : "";
      button.classList.toggle("never", !counts[id]);
      few.title = count.title = classes[id] ?? "";
    }
  }

  #button(action, key) {
    const count = make("span", { class: "count" });
    const few = make("span", { class: "few" });
    const button = make(
      "button",
      { type: "button", role: "checkbox", "aria-checked": "false", tabindex: "-1", "data-action": String(action.id), title: `${action.name} (id ${action.id})` },
      make("kbd", {}, key ?? ""), make("span", { class: "name" }, action.name), few, count,
    );
    if (key) button.setAttribute("aria-keyshortcuts", key);
    this.#buttons.set(action.id, { button, count, few });
    return button;
  }
}

/** One line that asks for a number, a key or an action. */
export class Asker {
  #box = document.getElementById("ask");
  #title = document.getElementById("ask-title");
  #field = document.getElementById("ask-field");
  #list = document.getElementById("ask-list");
  #note = document.getElementById("ask-note");
  #back;
  #found = [];
  #at = 0;
  #wish = null;

  /** @param back called when it closes. */
  constructor(back) {
    this.#back = back;
    this.#field.addEventListener("input", () => this.#search(0));
  }

  get open() {
    return this.#wish !== null;
  }

  /** Ask. @param wish title, note, items: what is offered, as {name, hint, value}, by what was typed; done: with the value. */
  ask(wish) {
    this.#wish = wish;
    this.#title.textContent = wish.title;
    this.#field.value = "";
    this.#box.hidden = false;
    this.#field.focus();
    this.#search(0);
  }

  /** A key that the field itself does not know. @returns whether it was taken. */
  press(press, char) {
    if (press === "Escape") this.#close();
    else if (press === "Enter") this.#take();
    else if (press === "ArrowDown" || press === "Tab") this.#search(this.#at + 1);
    else if (press === "ArrowUp" || press === "Shift+Tab") this.#search(this.#at - 1);
    else if (char !== null) {
      this.#field.value += char;
      this.#search(0);
    } else return false;
    return true;
  }

  #take() {
    const chosen = this.#found[this.#at];
    if (!chosen) {
      this.#note.textContent = this.#wish.nothing;
      return;
    }
    const { done } = this.#wish;
    this.#close();
    done(chosen.value);
  }

  #close() {
    this.#wish = null;
    this.#box.hidden = true;
    this.#back();
  }

  #search(at) {
    this.#found = this.#wish.items(this.#field.value).slice(0, MOST_FOUND);
    this.#at = Math.max(0, Math.min(this.#found.length - 1, at));
    this.#note.textContent = this.#found.length ? this.#wish.note : this.#wish.nothing;
    this.#list.replaceChildren(
      ...this.#found.map((one, index) => {
        const item = make(
          "div", { role: "option", id: `ask-${index}`, "aria-selected": String(index === this.#at) },
          make("span", { class: "name" }, one.name), make("span", { class: "soft" }, one.hint ?? ""),
        );
        item.addEventListener("pointerdown", (event) => {
          event.preventDefault();
          this.#at = index;
          this.#take();
        });
        return item;
      }),
    );
    if (this.#found.length) this.#field.setAttribute("aria-activedescendant", `ask-${this.#at}`);
    else this.#field.removeAttribute("aria-activedescendant");
  }
}

/** Offers of actions for `Asker`. */
export function actionItems(actions, keys, row) {
  return (typed) =>
    fitting(actions, typed).map((one) => ({
      name: one.name,
      hint: [row?.actions?.includes(one.id) ? "on" : "", GROUPS[one.group].toLowerCase(), keys.has(one.id) ? `key ${keys.get(one.id)}` : ""].filter(Boolean).join(" \u00b7 "),
      value: one.id,
    }));
}

/** Offers of persons by number for `Asker`. */
export function personItems(video, but) {
  return (typed) => {
    const text = typed.trim();
    return video.persons
      .filter((one) => one !== but && String(one).startsWith(text))
      .sort((a, b) => (String(b) === text) - (String(a) === text) || a - b)
      .map((one) => {
        const rows = video.track(one);
        return { name: String(one), hint: `seconds ${rows[0].second} to ${rows.at(-1).second}, ${rows.length} boxes`, value: one };
      });
  };
}

/** Write the help. */
export function writeHelp(sheet, actions, keys) {
  const line = (presses, says) =>
    make("div", { class: "keyline" }, make("span", {}, ...presses.flatMap((one, index) => [index ? " " : "", make("kbd", {}, shown(one))])), make("span", {}, says));
  const parts = [...new Set(COMMANDS.map((one) => one.part))].map((part) =>
    make("section", {}, make("h3", {}, part), ...COMMANDS.filter((one) => one.part === part).map((one) => line(one.keys, one.says))),
  );
  parts.push(make("section", {}, make("h3", {}, "While a box is drawn"), ...BOX_HELP.map(([presses, says]) => line(presses, says))));
  const signs = [["\u25cb", "untouched"], ["\u25cf", "answered"], ["\u2205", "no action"], ["\u2713", "checked"], ["?", "a doubt or warning"], ["\u25bf", "rare in the set"]];
  parts.push(make("section", {}, make("h3", {}, "Signs"), ...signs.map(([sign, says]) => line([sign], says))));
  for (const [group, title] of Object.entries(GROUPS)) {
    const own = actions.filter((one) => one.group === group && keys.has(one.id));
    if (own.length) parts.push(make("section", {}, make("h3", {}, title), ...inOrder(own, keys).map((one) => line([keys.get(one.id)], one.name))));
  }
  sheet.replaceChildren(make("h2", {}, "Keys"), make("p", {}, "Letters and digits toggle actions; Shift with a letter commands. Every answer is saved at once. Escape closes this."), make("div", { class: "columns" }, ...parts));
}
