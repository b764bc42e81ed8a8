// The two pictures: the person moving around the keyframe, and the keyframe itself with all persons.

import { addresses, ask } from "./page_api.js";
import { nudged } from "./page_model.js";

const SPEEDS = [0.25, 0.5, 1, 1.5, 2];
const SETTLE_MS = 120;
const KEPT_CLIPS = 4;
const GRID_FPS = 30;

/** Make the canvas as fine as the screen and clear it. @returns where a picture of this shape goes, and the scale. */
function stage(canvas, width, height) {
  const scale = window.devicePixelRatio || 1;
  const wide = Math.max(1, Math.round(canvas.clientWidth * scale));
  const high = Math.max(1, Math.round(canvas.clientHeight * scale));
  if (canvas.width !== wide || canvas.height !== high) Object.assign(canvas, { width: wide, height: high });
  const fit = Math.min(wide / width, high / height);
  const area = { x: (wide - width * fit) / 2, y: (high - height * fit) / 2, w: width * fit, h: height * fit };
  const ink = canvas.getContext("2d");
  ink.clearRect(0, 0, wide, high);
  return { ink, area, scale };
}

/** Draw persons: the current one thick, others thin; each with its number. */
function drawBoxes({ ink, area, scale }, boxes, current) {
  const ordered = [...boxes].sort((a, b) => (a.person === current) - (b.person === current));
  for (const { person, box, look, label } of ordered) {
    const [x, y] = [area.x + box[0] * area.w, area.y + box[1] * area.h];
    const [w, h] = [(box[2] - box[0]) * area.w, (box[3] - box[1]) * area.h];
    const own = person === current;
    const thick = (look === "draft" ? 2 : own ? 3 : 1.25) * scale;
    ink.setLineDash(look ? [6 * scale, 4 * scale] : []);
    ink.lineWidth = thick + 2 * scale;
    ink.strokeStyle = "rgba(0,0,0,.65)";
    ink.strokeRect(x, y, w, h);
    ink.lineWidth = thick;
    ink.strokeStyle = own ? "#ffd23f" : "#ffffff";
    ink.strokeRect(x, y, w, h);
    ink.setLineDash([]);
    const text = label ?? String(person);
    ink.font = `${own ? "bold " : ""}${12 * scale}px system-ui, sans-serif`;
    const wide = ink.measureText(text).width + 8 * scale;
    const top = Math.max(area.y, y - 16 * scale);
    ink.fillStyle = own ? "#ffd23f" : "rgba(0,0,0,.75)";
    ink.fillRect(x, top, wide, 16 * scale);
    ink.fillStyle = own ? "#000000" : "#ffffff";
    ink.fillText(text, x + 4 * scale, top + 12 * scale);
  }
}

/** A picture that is being loaded, or is there. */
function picture(address) {
  const image = new Image();
  image.src = address;
  return image;
}

const there = (image) => image.complete && image.naturalWidth > 0;

/** Where persons are in a picture of a clip; where no track says it, between the boxes of the keyframes beside it. */
function boxesAt({ boxes, numbers, video }, index) {
  const time = numbers[index] / GRID_FPS;
  const before = Math.floor(time);
  const share = time - before;
  const told = Object.entries(boxes)
    .filter(([, path]) => path[index])
    .map(([person, path]) => ({ person: Number(person), box: path[index] }));
  const known = new Set(told.map((one) => one.person));
  const guessed = video.at(before).flatMap(({ person, box }) => {
    const next = video.row(person, before + 1)?.box;
    if (known.has(person) || !next) return [];
    return [{ person, box: box.map((side, at) => side * (1 - share) + next[at] * share), look: "guess" }];
  });
  return [...told, ...guessed];
}

/** Plays 1.5 seconds before and after a keyframe, over and over. */
export class Player {
  #canvas;
  #says;
  #speedSays;
  #clips = new Map();
  #clip = null;
  #first = null;
  #at = 0;
  #then = 0;
  #timer = 0;
  #asked = "";
  #drawn = null;
  person = null;
  playing = !window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  speed = 1;

  constructor(canvas, says, speedSays) {
    this.#canvas = canvas;
    this.#says = says;
    this.#speedSays = speedSays;
    this.#tellSpeed();
    requestAnimationFrame((now) => this.#tick(now));
  }

  /** Show a keyframe; what moves comes when the cursor rests. */
  show(video, second, person) {
    this.person = person;
    const key = `${video.id}/${second}/${video.boxes}`;
    this.#drawn = null;
    if (key === this.#asked) return;
    const same = this.#asked.startsWith(`${video.id}/${second}/`);
    this.#asked = key;
    clearTimeout(this.#timer);
    if (!same) {
      this.#clip = null;
      this.#at = 0;
      this.#first = { image: picture(addresses.keyframe(video.id, second)), video };
      this.#says.textContent = `second ${second}: loading`;
    }
    if (this.#clips.has(key)) this.#clip = this.#clips.get(key);
    else this.#timer = setTimeout(() => this.#load(key, video, second), SETTLE_MS);
  }

  /** Show nothing. */
  clear() {
    clearTimeout(this.#timer);
    this.#asked = "";
    this.#clip = this.#first = this.#drawn = null;
    this.#says.textContent = "";
    stage(this.#canvas, 1, 1);
  }

  pause() {
    this.playing = !this.playing;
    this.#tellSpeed();
  }

  /** Go slower (-1) or faster (1). */
  pace(step) {
    const at = SPEEDS.indexOf(this.speed);
    this.speed = SPEEDS[Math.min(SPEEDS.length - 1, Math.max(0, at + step))];
    this.#tellSpeed();
  }

  async #load(key, video, second) {
    let told;
    try {
      told = await ask(addresses.clip(video.id, second));
    } catch (error) {
      if (key === this.#asked) this.#says.textContent = `second ${second}: no moving picture: ${error.message}`;
      return;
    }
    const pictures = told.numbers.map((_, index) => picture(addresses.clipPicture(video.id, second, index)));
    const clip = { ...told, video, second, pictures };
    this.#clips.set(key, clip);
    if (this.#clips.size > KEPT_CLIPS) this.#clips.delete(this.#clips.keys().next().value);
    if (key === this.#asked) {
      this.#clip = clip;
      this.#drawn = null;
    }
  }

  #tellSpeed() {
    this.#speedSays.textContent = `${this.playing ? "plays" : "paused"} \u00b7 ${this.speed}\u00d7`;
  }

  #tick(now) {
    requestAnimationFrame((later) => this.#tick(later));
    const passed = Math.min(0.2, (now - this.#then) / 1000);
    this.#then = now;
    const clip = this.#clip;
    if (!clip || !clip.numbers.length) {
      if (this.#first && there(this.#first.image) && this.#drawn !== "first") {
        const { image, video } = this.#first;
        const put = stage(this.#canvas, video.width, video.height);
        put.ink.drawImage(image, put.area.x, put.area.y, put.area.w, put.area.h);
        this.#drawn = "first";
      }
      return;
    }
    if (this.playing) this.#at = (this.#at + passed * this.speed * clip.fps) % clip.numbers.length;
    const index = Math.floor(this.#at);
    const size = `${this.#canvas.clientWidth}x${this.#canvas.clientHeight}`;
    const mark = `${index}/${size}/${this.person}`;
    if (this.#drawn === mark || !there(clip.pictures[index])) return;
    const put = stage(this.#canvas, clip.width, clip.height);
    put.ink.drawImage(clip.pictures[index], put.area.x, put.area.y, put.area.w, put.area.h);
    drawBoxes(put, boxesAt(clip, index), this.person);
    this.#bar(put, index, clip.numbers);
    const off = clip.numbers[index] / GRID_FPS - clip.second;
    this.#says.textContent = `second ${clip.second} \u00b7 ${off < 0 ? "\u2212" : "+"}${Math.abs(off).toFixed(2)} s`;
    this.#drawn = mark;
  }

  #bar({ ink, area, scale }, index, numbers) {
    const high = 3 * scale;
    const top = area.y + area.h - high;
    ink.fillStyle = "rgba(0,0,0,.55)";
    ink.fillRect(area.x, top, area.w, high);
    ink.fillStyle = "#ffd23f";
    ink.fillRect(area.x, top, (area.w * (index + 1)) / numbers.length, high);
    const key = numbers.findIndex((number) => number >= this.#clip.second * GRID_FPS);
    if (key >= 0) {
      ink.fillStyle = "#ffffff";
      ink.fillRect(area.x + (area.w * (key + 0.5)) / numbers.length - scale, top - 3 * scale, 2 * scale, high + 3 * scale);
    }
  }
}

/** The keyframe with all boxes; a box may be moved, resized or drawn on it. */
export class Still {
  #canvas;
  #image = null;
  #address = "";
  #video = null;
  #second = null;
  #person = null;
  #drag = null;
  #changed;
  draft = null;

  /** @param changed called after the mouse changed the draft; picked called with the person that was clicked. */
  constructor(canvas, changed, picked) {
    this.#canvas = canvas;
    this.#changed = changed;
    new ResizeObserver(() => this.draw()).observe(canvas);
    canvas.addEventListener("pointerdown", (event) => {
      if (!this.#video) return;
      const at = this.#where(event);
      if (!this.draft) {
        const found = this.#under(at);
        if (found !== null) picked(found);
        return;
      }
      canvas.setPointerCapture(event.pointerId);
      this.#drag = { at, box: this.draft.box, how: this.#grip(at) };
    });
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    canvas.addEventListener("pointerup", () => (this.#drag = null));
    canvas.addEventListener("pointercancel", () => (this.#drag = null));
  }

  show(video, second, person) {
    this.#video = video;
    this.#second = second;
    this.#person = person;
    const address = addresses.keyframe(video.id, second);
    if (address !== this.#address) {
      this.#address = address;
      this.#image = picture(address);
      this.#image.addEventListener("load", () => this.draw());
    }
    this.draw();
  }

  clear() {
    this.#video = this.#image = null;
    this.#address = "";
    stage(this.#canvas, 1, 1);
  }

  /** Change the draft by steps, in fractions of the frame. */
  nudge(moveX, moveY, growX, growY) {
    this.draft.box = nudged(this.draft.box, moveX, moveY, growX, growY);
    this.draw();
  }

  draw() {
    if (!this.#video || !this.#image || !there(this.#image)) return;
    const put = stage(this.#canvas, this.#video.width, this.#video.height);
    put.ink.drawImage(this.#image, put.area.x, put.area.y, put.area.w, put.area.h);
    const boxes = this.#video
      .at(this.#second)
      .filter((row) => !this.draft || row.person !== this.draft.person)
      .map((row) => ({ person: row.person, box: row.box }));
    if (!this.draft) return drawBoxes(put, boxes, this.#person);
    drawBoxes(put, boxes, null);
    const label = this.draft.person === null ? "new" : String(this.draft.person);
    return drawBoxes(put, [{ person: "draft", box: this.draft.box, look: "draft", label }], "draft");
  }

  #where(event) {
    const shown = this.#canvas.getBoundingClientRect();
    const { width, height } = this.#video;
    const fit = Math.min(shown.width / width, shown.height / height);
    const x = (event.clientX - shown.left - (shown.width - width * fit) / 2) / (width * fit);
    const y = (event.clientY - shown.top - (shown.height - height * fit) / 2) / (height * fit);
    return [Math.min(1, Math.max(0, x)), Math.min(1, Math.max(0, y))];
  }

  #under([x, y]) {
    const area = (box) => (box[2] - box[0]) * (box[3] - box[1]);
    const found = this.#video
      .at(this.#second)
      .filter(({ box }) => x >= box[0] && x <= box[2] && y >= box[1] && y <= box[3])
      .sort((a, b) => area(a.box) - area(b.box))[0];
    return found ? found.person : null;
  }

  /** What the mouse holds: the sides near it, the whole box, or a new one. */
  #grip([x, y]) {
    const [x1, y1, x2, y2] = this.draft.box;
    const near = 0.02;
    if (x < x1 - near || x > x2 + near || y < y1 - near || y > y2 + near) return "new";
    const left = Math.abs(x - x1) <= near;
    const right = Math.abs(x - x2) <= near;
    const top = Math.abs(y - y1) <= near;
    const low = Math.abs(y - y2) <= near;
    return left || right || top || low ? [left, top, right, low] : "whole";
  }

  #move(event) {
    if (!this.#drag || !this.draft) return;
    const at = this.#where(event);
    const { at: from, box, how } = this.#drag;
    const [dx, dy] = [at[0] - from[0], at[1] - from[1]];
    if (how === "whole") this.draft.box = nudged(box, dx, dy, 0, 0);
    else {
      let [x1, y1, x2, y2] = how === "new" ? [...from, ...at] : box;
      if (how !== "new") {
        x1 += how[0] ? dx : 0;
        y1 += how[1] ? dy : 0;
        x2 += how[2] ? dx : 0;
        y2 += how[3] ? dy : 0;
      }
      const sides = [Math.min(x1, x2), Math.min(y1, y2), Math.max(x1, x2), Math.max(y1, y2)];
      const [left, top, right, low] = sides.map((one) => Math.min(1, Math.max(0, one)));
      this.draft.box = nudged([Math.min(left, 0.99), Math.min(top, 0.99), right, low], 0, 0, 0, 0);
    }
    this.#changed();
    this.draw();
  }
}
