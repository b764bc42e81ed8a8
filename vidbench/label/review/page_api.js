// Talks to the server, and does what is asked in order: one thing after the other, every edit saved before the next.

const WAIT_MS = [300, 1000, 2000];
const GONE = "the server has ended; start vidbench label review again and open its new address";

/** An answer that says no: `status` and the server's words. */
export class Refusal extends Error {
  constructor(status, words) {
    super(words);
    this.status = status;
  }
}

/** A JSON answer. @throws {Refusal} the server says no, or with status 0: there is no answer, or not a whole one. */
export async function ask(path, content) {
  const how = content === undefined ? {} : {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(content),
  };
  const silent = () => {
    throw new Refusal(0, "the server does not answer");
  };
  const answer = await fetch(path, { cache: "no-store", ...how }).catch(silent);
  const told = await answer.json().catch(answer.ok ? silent : () => ({}));
  if (!answer.ok) throw new Refusal(answer.status, told.error || `${answer.status} ${answer.statusText}`);
  return told;
}

export const addresses = {
  video: (id) => `api/video/${encodeURIComponent(id)}`,
  edit: (id) => `api/video/${encodeURIComponent(id)}/edit`,
  undo: (id) => `api/video/${encodeURIComponent(id)}/undo`,
  redo: (id) => `api/video/${encodeURIComponent(id)}/redo`,
  clip: (id, second) => `api/video/${encodeURIComponent(id)}/clip/${second}`,
  clipPicture: (id, second, index) => `img/${encodeURIComponent(id)}/clip/${second}/${index}.jpg`,
  keyframe: (id, second) => `img/${encodeURIComponent(id)}/keyframe/${second}.jpg`,
  // the box names the picture: it is asked for anew when the box moves, and for no other edit
  crop: (id, row, height) =>
    `img/${encodeURIComponent(id)}/crop/${row.second}/${row.person}.jpg?h=${height}&r=${row.box.map((one) => Math.round(one * 1000)).join("-")}`,
};

/** Steps in the order in which they came; each waits for the one before. */
export class Order {
  #steps = [];
  #busy = false;
  #failed;
  #told;

  /** @param failed given the error of a step; told given whether there is something to do. */
  constructor(failed, told) {
    this.#failed = failed;
    this.#told = told;
  }

  get idle() {
    return !this.#busy;
  }

  take(step) {
    this.#steps.push(step);
    if (!this.#busy) this.#work();
  }

  /** Forget what has not begun. @returns how many steps that were. */
  drop() {
    return this.#steps.splice(0).length;
  }

  async #work() {
    this.#busy = true;
    this.#told(true);
    try {
      while (this.#steps.length) {
        try {
          await this.#steps.shift()();
        } catch (error) {
          this.#failed(error);
        }
      }
    } finally {
      this.#busy = false;
      this.#told(false);
    }
  }
}

/** Sends edits until the server has taken them, and tells how that stands. */
export class Saver {
  #tell;
  #wake = () => {};
  failing = false;
  ended = false;
  saving = false;

  /** @param tell called with "saving", "saved", "failed" or "ended", and words. */
  constructor(tell) {
    this.#tell = tell;
  }

  /** Try again now. */
  again() {
    this.#wake();
  }

  /** Post until there is an answer. @throws {Refusal} the server says no; `tried` says how often there was no answer. */
  async post(path, content, what) {
    this.saving = true;
    this.#tell("saving", `saving: ${what}`);
    for (let tries = 0; ; tries += 1) {
      try {
        const told = await ask(path, content);
        this.#tell("saved", "saved");
        this.saving = this.failing = false;
        return told;
      } catch (error) {
        if (error.status > 0 && error.status < 500) {
          this.#refuse(error, what);
          error.tried = tries;
          throw error;
        }
        this.failing = true;
        this.#tell("failed", `not saved: ${what}: ${error.message}; trying again`);
        await new Promise((wake) => {
          this.#wake = wake;
          setTimeout(wake, WAIT_MS[Math.min(tries, WAIT_MS.length - 1)]);
        });
      }
    }
  }

  #refuse({ status, message }, what) {
    this.saving = false;
    this.ended = this.failing = status === 403 || status === 404;
    if (this.ended) this.#tell("ended", `not saved: ${what}: ${GONE}`);
    else if (status === 400 || status === 409) this.#tell("saved", "saved");
    else this.#tell("failed", `not saved: ${what}: ${message}`);
  }
}
