// The typed text and its idempotency key, kept until the server has taken the question: a reload loses nothing, and
// sending the same text again is the same request. A closed tab's text is found in the next one.

const PREFIX = "mundap-draft:";

/** One draft of a person in a chat; "new" before there is one. */
export class Draft {
  #name;
  #memory = {};

  constructor(user, chat) {
    this.#name = `${PREFIX}${user}:${chat || "new"}`;
  }

  get text() {
    return this.#read().text ?? "";
  }

  /** Is this text one that was sent, without word of its arrival? */
  isSent(text) {
    const stored = this.#read();
    return Boolean(stored.key) && stored.text === text;
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
    for (const storage of storages()) attempt(() => storage.removeItem(this.#name));
  }

  #read() {
    for (const storage of storages()) {
      const found = attempt(() => JSON.parse(storage.getItem(this.#name)));
      if (found) return found;
    }
    return this.#memory;
  }

  #write(value) {
    this.#memory = value;
    for (const storage of storages()) attempt(() => storage.setItem(this.#name, JSON.stringify(value)));
  }
}

/** Forgets all drafts when somebody logs out: the next person at this browser is another one. */
export function forgetDraftsAtLogout() {
  document.addEventListener("submit", (event) => {
    if (!event.target.action?.endsWith("/accounts/logout/")) return;
    for (const storage of storages()) {
      for (const name of Object.keys(storage)) if (name.startsWith(PREFIX)) storage.removeItem(name);
    }
  });
}

/** A tab's own storage first: two tabs may be typing. Either may be forbidden. */
function storages() {
  return [attempt(() => sessionStorage), attempt(() => localStorage)].filter(Boolean);
}

function attempt(step) {
  try {
    return step();
  } catch {
    return null; // forbidden or full: memory serves until the page goes
  }
}

/** `crypto.randomUUID` exists only on secure origins; a team's server may be plain http. */
function randomKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
