// Opens a cited passage beside the answer. Without this script the same links open it as a page.

import { request } from "./server.js";

const pane = document.getElementById("pane");
const inside = pane?.querySelector(".inside");
const label = document.getElementById("pane-number");
let opener = null;
let asked = 0;

/** Listens for clicks on citations and for what closes the pane. */
export function watchCitations() {
  if (!pane) return;
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a.citation, .sources a.place");
    if (!link || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    open(link);
  });
  document.getElementById("close-pane").addEventListener("click", close);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !event.isComposing && pane.classList.contains("is-open")) close();
  });
}

async function open(link) {
  const turn = ++asked;
  const url = new URL(link.href);
  url.searchParams.set("fragment", "1");
  let html;
  try {
    html = await (await request(url)).text();
  } catch {
    location.assign(link.href);
    return;
  }
  if (turn !== asked) return;
  mark(link);
  label.textContent = link.dataset.number;
  inside.innerHTML = html;
  pane.classList.add("is-open");
  inside.focus({ preventScroll: true });
  const quote = inside.querySelector("mark");
  inside.scrollTop = quote ? Math.max(0, offsetOf(quote) - inside.clientHeight / 3) : 0;
  link.scrollIntoView({ block: "nearest" });
}

function close() {
  asked += 1;
  pane.classList.remove("is-open");
  inside.replaceChildren();
  opener?.classList.remove("is-open");
  opener?.focus();
  opener = null;
}

function mark(link) {
  opener?.classList.remove("is-open");
  opener = link;
  opener.classList.add("is-open");
}

function offsetOf(element) {
  return element.getBoundingClientRect().top - inside.getBoundingClientRect().top + inside.scrollTop;
}
