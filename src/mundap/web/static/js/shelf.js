// Keeps what is shown of the shelf up to date while documents are being read, as long as it is looked at.

import { page, request } from "./server.js";

const EVERY_MS = 2500;

/** Asks for each part that is filling again, until nothing of it is being read. */
export function watchShelf() {
  watchFilter();
  for (const part of document.querySelectorAll("[data-filling]")) watch(part.id);
}

function watch(id) {
  setTimeout(() => refresh(id), EVERY_MS);
}

async function refresh(id) {
  const part = document.getElementById(id);
  if (!part?.checkVisibility()) return; // a question was asked
  if (document.hidden) {
    document.addEventListener("visibilitychange", () => refresh(id), { once: true });
    return;
  }
  try {
    const response = await request(part.dataset.url);
    const holder = document.createElement("template");
    holder.innerHTML = await response.text();
    replace(part, holder.content.firstElementChild);
  } catch {
    // The server may be starting again: ask later.
  }
  const now = document.getElementById(id);
  if ("filling" in now.dataset) watch(id);
  else await refreshParts();
}

function replace(before, after) {
  if (before.isEqualNode(after)) return;
  const chosen = before.querySelector("input:checked")?.value;
  const focused = before.contains(document.activeElement) ? document.activeElement : null;
  const typed = before.querySelector("#shelf-filter")?.value;
  before.replaceWith(after);
  watchFilter(typed);
  if (focused?.id) document.getElementById(focused.id)?.focus();
  for (const input of after.querySelectorAll("input[type=radio]")) {
    if (input.value === chosen) input.checked = true;
    if (input.value === focused?.value) input.focus();
  }
  if (focused?.matches("button")) after.querySelector("button")?.focus();
}

/** Lets one choose from many by a part of their titles. */
function watchFilter(typed = "") {
  const field = document.getElementById("shelf-filter");
  if (!field) return;
  field.parentElement.hidden = false;
  field.value = typed;
  const show = () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const group of document.querySelectorAll(".books-of")) {
      const books = [...group.querySelectorAll(".book")];
      for (const book of books) {
        const text = `${group.firstElementChild.textContent} ${book.textContent}`.toLowerCase();
        book.hidden = !words.every((word) => text.includes(word));
      }
      group.hidden = books.every((book) => book.hidden);
    }
  };
  field.addEventListener("input", show);
  show();
}

/** Shows what has been read: the parts of the page that were made before it. */
async function refreshParts() {
  const parts = document.querySelectorAll("[data-part]");
  if (!parts.length) return;
  const now = await page(location.href).catch(() => null); // what was there stays, then
  for (const part of parts) {
    const fresh = now?.querySelector(`[data-part="${part.dataset.part}"]`);
    if (fresh && !part.contains(document.activeElement)) part.replaceWith(fresh);
  }
}
