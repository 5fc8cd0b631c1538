// What every signed-in page does: single keys that go somewhere, the sheet that lists them, the reader's time zone,
// and what was typed, which goes at log-out.

import { forgetDraftsAtLogout } from "./draft.js";

const KEYS_OFF = "mundap-keys-off";
const root = document.documentElement;
const help = document.getElementById("help");

noteTimeZone();
root.toggleAttribute("data-keys-off", areOff());
watchKeys();
watchHelp();
forgetDraftsAtLogout();

/** Lets the server write days and times as the reader's clock has them. */
function noteTimeZone() {
  const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
  if (timeZone) document.cookie = `timezone=${timeZone}; path=/; max-age=31536000; samesite=lax`;
}

/** A key goes to the link or the box that names it, as in `aria-keyshortcuts="n"`; never while one types. Other scripts
    heed `data-keys-off`, too. */
function watchKeys() {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.isComposing || event.ctrlKey || event.metaKey || event.altKey) return;
    if (root.hasAttribute("data-keys-off") || event.target.closest("input, textarea, select, dialog")) return;
    if (event.key === "?") {
      event.preventDefault();
      help.showModal();
      return;
    }
    const named = namedBy(event.key);
    if (!named) return;
    event.preventDefault();
    if (named.matches("a")) named.click();
    else named.focus();
  });
}

function namedBy(key) {
  const named = document.querySelector(`:is(a, input)[aria-keyshortcuts="${CSS.escape(key)}"]`);
  return named ?? (key === "/" ? document.getElementById("text") : null);
}

function watchHelp() {
  for (const link of document.querySelectorAll("a[data-help]")) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      help.showModal();
    });
  }
  help.addEventListener("click", (event) => {
    if (event.target === help) help.close(); // beside it
  });
  // Who speaks to the computer, or hits keys by accident, can do without them.
  const choice = help.querySelector("input[type=checkbox]");
  choice.closest("label").hidden = false;
  choice.checked = !areOff();
  choice.addEventListener("change", () => {
    root.toggleAttribute("data-keys-off", !choice.checked);
    try {
      localStorage.setItem(KEYS_OFF, choice.checked ? "" : "1");
    } catch {
      // Storage may be forbidden: then it holds for this page.
    }
  });
}

function areOff() {
  try {
    return Boolean(localStorage.getItem(KEYS_OFF));
  } catch {
    return false;
  }
}
