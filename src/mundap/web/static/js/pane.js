// Opens cited passages and summaries beside the conversation, one after the other or all at once. What is opened from
// within the pane has a way back. Without this script the same links open them as pages.

import { request } from "./server.js";
import { followSummary } from "./summary.js";

const pane = document.getElementById("pane");
const inside = pane?.querySelector(".inside");
const backButton = document.getElementById("pane-back");
const LINKS = "a.citation, .sources a.place, .sources a.all, .cited a.number, a.to-summary";
const KEYS = { j: 1, k: -1 };
const LINE_PX = 24;
const fetched = new Map(); // address → HTML, of passages beside the one that is read
const before = []; // what the pane showed before, to go back to
let shown = null; // the link that is open, and those of the same text: { link, stops }
let marked = null; // of the links in the conversation
let returnTo = null;
let asked = 0;
let watcher = null;

/** Listens for clicks on citations and summaries, for the way to the next one, and for what closes the pane. */
export function watchPane() {
  if (!pane) return;
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.(LINKS);
    if (!link || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    open(link);
  });
  pane.addEventListener("click", (event) => {
    const button = event.target.closest("[data-step]");
    if (button) step(Number(button.dataset.step));
  });
  backButton.addEventListener("click", back);
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

/** Returns the link with those that one goes through: in the order of the text, or of the sources where it has none. */
function stopOf(link) {
  const text = link.closest(".answer, .summary");
  const inText = text?.querySelectorAll(".prose a.citation") ?? [];
  const stops = [...(inText.length ? inText : text?.querySelectorAll(".sources a.place") ?? [])];
  if (text || !shown || !link.matches(".number")) return { link, stops };
  // One of all the sources in the pane: it stands for the first that cites it.
  return { link: shown.stops.find((each) => each.href === link.href) ?? link, stops: shown.stops };
}

function step(by) {
  const { link, stops } = shown;
  if (!stops.length) return;
  const here = stops.indexOf(link);
  // From the list of sources, or from all of them, the first step goes to the first that cites this source.
  const next = here >= 0 ? stops[here + by] : stops.find((each) => each.dataset.number === link.dataset.number) ?? stops[0];
  if (next) open(next, { isStep: true });
}

async function open(link, { isStep = false } = {}) {
  const turn = ++asked;
  const focused = document.activeElement;
  const html = await htmlOf(link);
  if (turn !== asked) return;
  const hasMovedOn = document.activeElement !== focused; // and types something already
  if (html === null) {
    location.assign(link.href);
    return;
  }
  const isDeeper = !isStep && pane.contains(link);
  const wanted = isStep ? { ...shown, link } : stopOf(link);
  if (isDeeper) before.push({ shown, link, nodes: [...inside.childNodes], scrollTop: inside.scrollTop });
  else if (!isStep) before.length = 0;
  if (!isDeeper && link.isConnected) returnTo = link;
  shown = wanted;
  inside.innerHTML = html;
  tellPlace();
  if (!isOpen()) {
    pane.classList.add("is-open");
    watchBackButton();
  }
  if (!hasMovedOn && !(isStep && pane.contains(document.activeElement))) inside.focus({ preventScroll: true });
  showQuote();
  followSummary(inside.querySelector(".summary"));
  showLink();
  for (const beside of neighbours()) htmlOf(beside);
}

/** Scrolls to the quoted words, a little below what stays at the top. */
function showQuote() {
  const quote = inside.querySelector(".cited") ? null : inside.querySelector("mark");
  const header = inside.querySelector(".passage > header");
  const covered = header && getComputedStyle(header).position === "sticky" ? header.offsetHeight : 0;
  const above = Math.max(inside.clientHeight / 3, covered + LINE_PX);
  inside.scrollTop = quote ? Math.max(0, offsetOf(quote) - above) : 0;
}

/** Shows what the pane showed before, as far as it was read. */
function back() {
  const last = before.pop();
  if (!last) return;
  asked += 1;
  shown = last.shown;
  inside.replaceChildren(...last.nodes);
  inside.scrollTop = last.scrollTop;
  tellPlace();
  (last.link.isConnected ? last.link : inside).focus({ preventScroll: true });
  followSummary(inside.querySelector(".summary"));
}

/** Scrolls to the citation that is open; above the sheet, where the pane is one. */
function showLink() {
  if (!marked) return;
  marked.scrollIntoView({ block: "nearest" });
  const top = innerHeight - pane.offsetHeight; // where it will be: it may still be on its way
  const covered = marked.getBoundingClientRect().bottom + LINE_PX - top;
  if (!pane.offsetLeft && covered > 0) scrollBy({ top: covered });
}

function neighbours() {
  const here = shown.stops.indexOf(shown.link);
  return here < 0 ? [] : [shown.stops[here - 1], shown.stops[here + 1]].filter(Boolean);
}

/** Returns what the link leads to as a fragment; null where it cannot be had. A summary changes while it is made. */
function htmlOf(link) {
  const url = new URL(link.href);
  url.searchParams.set("fragment", "1");
  if (link.matches(".to-summary")) fetched.delete(url.href);
  if (!fetched.has(url.href)) {
    fetched.set(url.href, request(url).then((response) => response.text()).catch(() => {
      fetched.delete(url.href);
      return null;
    }));
  }
  return fetched.get(url.href);
}

function tellPlace() {
  const { link, stops } = shown;
  const here = stops.indexOf(link);
  const { number } = link.dataset;
  const { dataset } = pane;
  document.getElementById("pane-number").textContent = number ?? "";
  document.getElementById("pane-number").hidden = !number;
  document.getElementById("pane-name").textContent =
    inside.querySelector(".summary") ? dataset.summary : inside.querySelector(".cited") ? dataset.sources : dataset.source;
  document.getElementById("pane-steps").hidden = !stops.length;
  document.getElementById("pane-place").textContent =
    here < 0 ? "" : dataset.position.replace("{number}", here + 1).replace("{total}", stops.length);
  const [previous, next] = pane.querySelectorAll("[data-step]");
  previous.disabled = here <= 0;
  next.disabled = here >= 0 && here === stops.length - 1;
  backButton.hidden = !before.length;
  if (link.isConnected && !pane.contains(link)) mark(link);
}

function close() {
  if (!isOpen()) return;
  asked += 1;
  pane.classList.remove("is-open");
  inside.replaceChildren();
  fetched.clear();
  before.length = 0;
  watcher?.destroy();
  mark(null);
  // What stands above the conversation is drawn anew when the title has come.
  const back = returnTo?.isConnected ? returnTo : [...document.links].find((link) => link.href === returnTo?.href);
  back?.focus({ preventScroll: true });
  back?.scrollIntoView({ block: "nearest" });
}

/** A phone's own way back goes back in the sheet, or closes it; not the chat. */
function watchBackButton() {
  if (!("CloseWatcher" in window) || !matchMedia("(hover: none)").matches) return;
  watcher = new CloseWatcher();
  watcher.onclose = () => {
    if (!before.length) {
      close();
      return;
    }
    back();
    watchBackButton();
  };
}

function mark(link) {
  marked?.classList.remove("is-open");
  marked?.removeAttribute("aria-current");
  marked = link;
  marked?.classList.add("is-open");
  marked?.setAttribute("aria-current", "true");
}

function offsetOf(element) {
  return element.getBoundingClientRect().top - inside.getBoundingClientRect().top + inside.scrollTop;
}
