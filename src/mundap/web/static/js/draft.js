// The typed text and its idempotency key, kept until the server has taken the question: a reload loses nothing, and
// sending the same text again is the same request.

/** One draft a chat; "new" before there is one. */
export class Draft {
  #name;

  constructor(chat) {
    this.#name = `mundap-draft:${chat || "new"}`;
  }

  get text() {
    return this.#read().text ?? "";
  }

  save(text) {
    const { text: before, key } = this.#read();
    this.#write(before === text ? { text, key } : { text });
  }

  /** Returns the key of exactly this text; made once, kept until the text changes or is sent. */
  keyFor(text) {
    const stored = this.#read();
    const key = stored.text === text && stored.key ? stored.key : randomKey();
    this.#write({ text, key });
    return key;
  }

  /** Lets go of this text, which the server has; what was typed since then stays. */
  forget(text) {
    if (this.#read().text !== text) return;
    this.#memory = {};
    try {
      sessionStorage.removeItem(this.#name);
    } catch {
      // Storage may be forbidden: then nothing was kept.
    }
  }

  #read() {
    try {
      return JSON.parse(sessionStorage.getItem(this.#name)) ?? this.#memory;
    } catch {
      return this.#memory;
    }
  }

  #write(value) {
    this.#memory = value;
    try {
      sessionStorage.setItem(this.#name, JSON.stringify(value));
    } catch {
      // Full or forbidden: memory serves until the page goes.
    }
  }

  #memory = {};
}

/** `crypto.randomUUID` exists only on secure origins; a team's server may be plain http. */
function randomKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
