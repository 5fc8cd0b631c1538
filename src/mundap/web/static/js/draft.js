// The typed text and its idempotency key, kept until the server has taken the question: a reload loses nothing, and
// sending the same text again is the same request. A closed tab's text is found in the next one.

const PREFIX = "mundap-draft:";
const MOST_DRAFTS = 5; // of a chat, in as many tabs
const ownId = randomKey();

/** What a person types in a chat ("new" before there is one): each tab has its own, and finds those of closed ones. */
export class Draft {
  #name;
  #memory = null;

  constructor(user, chat) {
    this.#name = `${PREFIX}${user}:${chat || "new"}`;
  }

  /** Returns this tab's text; where it has none, the newest that another tab has left, from now on its own. */
  take() {
    const left = this.#read() ?? this.#others()[0];
    if (left) this.#write(left);
    return left?.text ?? "";
  }

  /** Is this text one that was sent, without word of its arrival? */
  isSent(text) {
    return [this.#read(), ...this.#others()].some((each) => each?.key && each.text === text);
  }

  save(text) {
    const before = this.#read();
    if (before?.text !== text) this.#write({ text });
  }

  /** Returns the key of exactly this text; made once, kept until the text changes or is sent. */
  keyFor(text) {
    const stored = this.#read();
    const key = stored?.text === text && stored.key ? stored.key : randomKey();
    this.#write({ text, key });
    return key;
  }

  /** Lets go of this text, which the server has; what was typed since then, or elsewhere, stays. */
  forget(text) {
    if (this.#read()?.text === text) this.#write({ text: "" });
    this.#keep(this.#others().filter((each) => each.text !== text));
  }

  #read() {
    return attempt(() => JSON.parse(sessionStorage.getItem(this.#name))) ?? this.#memory;
  }

  /** Keeps this tab's draft, and a copy for when the tab is closed. */
  #write(draft) {
    const others = this.#others().filter((each) => each.text !== draft.text);
    this.#memory = draft.text ? draft : null;
    attempt(() => sessionStorage.setItem(this.#name, JSON.stringify(this.#memory)));
    this.#keep(draft.text ? [{ ...draft, tab: tabId() }, ...others] : others);
  }

  /** Returns the drafts of other tabs, the newest first. */
  #others() {
    return this.#all().filter((each) => each.tab !== tabId());
  }

  #all() {
    const found = attempt(() => JSON.parse(localStorage.getItem(this.#name)));
    return Array.isArray(found) ? found : [];
  }

  #keep(drafts) {
    attempt(() => (drafts.length
      ? localStorage.setItem(this.#name, JSON.stringify(drafts.slice(0, MOST_DRAFTS)))
      : localStorage.removeItem(this.#name)));
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

/** Either may be forbidden. */
function storages() {
  return [attempt(() => sessionStorage), attempt(() => localStorage)].filter(Boolean);
}

/** Returns what tells this tab from others. */
function tabId() {
  const name = `${PREFIX}tab`;
  const id = attempt(() => sessionStorage.getItem(name)) ?? ownId;
  attempt(() => sessionStorage.setItem(name, id));
  return id;
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
