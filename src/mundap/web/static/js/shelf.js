// Keeps the shelf up to date while documents are being read, as long as it is looked at.

import { request } from "./server.js";

const EVERY_MS = 2500;

/** Asks for the shelf again until nothing on it is being read. */
export function watchShelf() {
  const shelf = document.getElementById("shelf");
  if (!shelf || !("filling" in shelf.dataset)) return;
  setTimeout(refresh, EVERY_MS);
}

async function refresh() {
  const shelf = document.getElementById("shelf");
  if (!shelf?.checkVisibility()) return; // a question was asked
  if (document.hidden) {
    document.addEventListener("visibilitychange", refresh, { once: true });
    return;
  }
  try {
    const response = await request(shelf.dataset.url);
    const holder = document.createElement("template");
    holder.innerHTML = await response.text();
    replace(shelf, holder.content.firstElementChild);
  } catch {
    // The server may be starting again: ask later.
  }
  watchShelf();
}

function replace(before, after) {
  if (before.innerHTML === after.innerHTML) return;
  const chosen = before.querySelector("input:checked")?.value;
  const focused = before.contains(document.activeElement) ? document.activeElement.value : null;
  before.replaceWith(after);
  for (const input of after.querySelectorAll("input")) {
    if (input.value === chosen) input.checked = true;
    if (input.value === focused) input.focus();
  }
}
