// Opens cited passages beside the answer, one after the other or all at once. Without this script the same links open
// them as pages.

import { request, word } from "./server.js";

const pane = document.getElementById("pane");
const inside = pane?.querySelector(".inside");
const LINKS = "a.citation, .sources a.place, .sources a.all, .cited a.number";
const KEYS = { j: 1, k: -1 };
const LINE_PX = 24;
const fetched = new Map(); // address → HTML, of the answer that is read
let opener = null;
let returnTo = null;
let asked = 0;
let watcher = null;

/** Listens for clicks on citations, for the way to the next one, and for what closes the pane. */
export function watchCitations() {
  if (!pane) return;
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.(LINKS);
    if (!link || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    if (!pane.contains(link)) returnTo = link;
    open(link);
  });
  pane.addEventListener("click", (event) => {
    const button = event.target.closest("[data-step]");
    if (button) step(Number(button.dataset.step));
  });
  document.getElementById("close-pane").addEventListener("click", close);
  document.addEventListener("keydown", (event) => {
    if (!isOpen() || event.isComposing || event.defaultPrevented) return;
    if (event.key === "Escape") close();
    else if (KEYS[event.key] && !isTyping(event) && !areKeysOff()) step(KEYS[event.key]);
  });
}

function isOpen() {
  return pane.classList.contains("is-open");
}

function isTyping(event) {
  return event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select");
}

/** Has the reader switched single keys off, in the list of them? */
function areKeysOff() {
  return document.documentElement.hasAttribute("data-keys-off");
}

/** Returns the citations that one goes through: in the order of the text, or of the sources where it has none. */
function stops(link) {
  const answer = link?.closest(".answer");
  if (!answer) return [];
  const inText = [...answer.querySelectorAll(".prose a.citation")];
  return inText.length ? inText : [...answer.querySelectorAll(".sources a.place")];
}

function step(by) {
  const all = stops(opener);
  if (!all.length) return;
  const here = all.indexOf(opener);
  // From the list of sources, or from all of them, the first step goes to the first that cites this source.
  const next = here >= 0 ? all[here + by] : all.find((each) => each.dataset.number === opener.dataset.number) ?? all[0];
  if (!next) return;
  returnTo = next;
  open(next, { isStep: true });
}

async function open(link, { isStep = false } = {}) {
  const turn = ++asked;
  const html = await htmlOf(link.href);
  if (turn !== asked) return;
  if (html === null) {
    location.assign(link.href);
    return;
  }
  mark(inAnswer(link));
  inside.innerHTML = html;
  tellPlace();
  if (!isOpen()) {
    pane.classList.add("is-open");
    watchBackButton();
  }
  if (!isStep || !pane.contains(document.activeElement)) inside.focus({ preventScroll: true });
  const quote = inside.querySelector(".cited") ? null : inside.querySelector("mark");
  inside.scrollTop = quote ? Math.max(0, offsetOf(quote) - inside.clientHeight / 3) : 0;
  showOpener();
  for (const beside of neighbours()) htmlOf(beside.href);
}

/** Scrolls to the citation that is open; above the sheet, where the pane is one. */
function showOpener() {
  opener.scrollIntoView({ block: "nearest" });
  const sheet = pane.getBoundingClientRect();
  const covered = opener.getBoundingClientRect().bottom + LINE_PX - sheet.top;
  if (!sheet.left && covered > 0) scrollBy({ top: covered });
}

/** Returns the link in the answer for one that stands in the pane. */
function inAnswer(link) {
  if (!pane.contains(link)) return link;
  return stops(opener).find((each) => each.href === link.href) ?? opener;
}

function neighbours() {
  const all = stops(opener);
  const here = all.indexOf(opener);
  return here < 0 ? [] : [all[here - 1], all[here + 1]].filter(Boolean);
}

/** Returns the passage as a fragment; null where it cannot be had. */
function htmlOf(address) {
  const url = new URL(address);
  url.searchParams.set("fragment", "1");
  if (!fetched.has(url.href)) {
    fetched.set(url.href, request(url).then((response) => response.text()).catch(() => {
      fetched.delete(url.href);
      return null;
    }));
  }
  return fetched.get(url.href);
}

function tellPlace() {
  const all = stops(opener);
  const here = all.indexOf(opener);
  document.getElementById("pane-number").textContent = opener.dataset.number ?? "";
  document.getElementById("pane-number").hidden = !opener.dataset.number;
  document.getElementById("pane-name").textContent = word(opener.dataset.number ? "source" : "sources");
  document.getElementById("pane-steps").hidden = !all.length;
  document.getElementById("pane-place").textContent =
    here < 0 ? "" : word("position").replace("{number}", here + 1).replace("{total}", all.length);
  const [before, after] = pane.querySelectorAll("[data-step]");
  before.disabled = here <= 0;
  after.disabled = here >= 0 && here === all.length - 1;
}

function close() {
  if (!isOpen()) return;
  asked += 1;
  pane.classList.remove("is-open");
  inside.replaceChildren();
  fetched.clear();
  watcher?.destroy();
  mark(null);
  returnTo?.focus({ preventScroll: true });
  returnTo?.scrollIntoView({ block: "nearest" });
}

/** A phone's own way back closes the sheet, not the chat. */
function watchBackButton() {
  if (!("CloseWatcher" in window) || !matchMedia("(hover: none)").matches) return;
  watcher = new CloseWatcher();
  watcher.onclose = close;
}

function mark(link) {
  opener?.classList.remove("is-open");
  opener?.removeAttribute("aria-current");
  opener = link;
  opener?.classList.add("is-open");
  opener?.setAttribute("aria-current", "true");
}

function offsetOf(element) {
  return element.getBoundingClientRect().top - inside.getBoundingClientRect().top + inside.scrollTop;
}
