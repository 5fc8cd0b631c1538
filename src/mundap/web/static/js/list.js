// All chats: searched as one types, more of them as one scrolls, and what one does with each without leaving the list.

import { page, request, word } from "./server.js";

const TYPING_MS = 180;
const TOAST_MS = 10_000;
const AHEAD = "1800px"; // what comes next is there before it is scrolled to

const rows = document.getElementById("rows");
const box = document.getElementById("q");
const found = document.getElementById("found");
const sheet = document.getElementById("manage");
const managed = document.getElementById("managed");
const toast = document.getElementById("toast");

let asked = new AbortController(); // the search that is on its way
let opener = null; // what the sheet was opened with
let gone = null; // what was taken off the page, and where it was
let hiding = 0;
const end = new IntersectionObserver(
  ([entry]) => {
    if (entry.isIntersecting) more(entry.target);
  },
  { rootMargin: `0px 0px ${AHEAD}` },
);

watchSearch();
watchEnd();
watchRows();
watchSheet();
watchToast();
watchKeys();

// --- searching as one types

function watchSearch() {
  let timer = 0;
  const search = () => {
    clearTimeout(timer);
    show(box.value.trim()).catch((error) => (found.textContent = error.message));
  };
  box.addEventListener("input", (event) => {
    clearTimeout(timer);
    if (!event.isComposing) timer = setTimeout(search, TYPING_MS);
  });
  box.addEventListener("compositionend", () => {
    clearTimeout(timer);
    timer = setTimeout(search, TYPING_MS);
  });
  document.getElementById("search").addEventListener("submit", (event) => {
    event.preventDefault();
    search();
  });
}

/** Puts the chats with these words, or all of them, in the place of the rows. */
async function show(query) {
  asked.abort();
  const { signal } = (asked = new AbortController());
  const url = query ? `?${new URLSearchParams({ q: query })}` : location.pathname;
  let page;
  try {
    page = await fragment(url, signal);
  } catch (error) {
    if (signal.aborted) return; // something else was typed
    throw error;
  }
  if (signal.aborted) return;
  rows.replaceChildren(page);
  history.replaceState(null, "", url);
  const count = rows.querySelectorAll("li").length;
  const more = rows.querySelector(".pages") ? "+" : "";
  found.textContent = count ? `${word("found")}: ${count}${more}` : rows.textContent.trim();
  watchEnd();
}

// --- more as one scrolls

function watchEnd() {
  end.disconnect();
  const pages = rows.querySelector(".pages");
  if (pages) end.observe(pages);
}

async function more(pages) {
  end.disconnect();
  let page;
  try {
    page = await fragment(pages.querySelector("a").href, asked.signal);
  } catch {
    return; // the link stays, to be pressed
  }
  if (!pages.isConnected) return;
  pages.remove();
  append(page);
  watchEnd();
}

/** Adds the next page; a day that goes on is one group. Its lists cost nothing while they are out of sight: one for each
    page, as one for each row would cost more than it saves. */
function append(page) {
  const height = rows.querySelector("li").offsetHeight;
  for (const list of page.querySelectorAll("ul")) {
    list.classList.add("is-added");
    list.style.containIntrinsicBlockSize = `auto ${list.children.length * height}px`;
  }
  const last = rows.querySelector(".day:last-of-type");
  const first = page.querySelector(".day");
  if (last && first && last.ariaLabel === first.ariaLabel) {
    last.append(first.querySelector("ul"));
    first.remove();
  }
  rows.append(page);
}

async function fragment(address, signal) {
  const url = new URL(address, location.href);
  url.searchParams.set("fragment", "1");
  return parsed(await (await request(url, { signal })).text());
}

function parsed(html) {
  const holder = document.createElement("template");
  holder.innerHTML = html;
  return holder.content;
}

// --- one chat: the sheet with its forms

function watchRows() {
  rows.addEventListener("click", async (event) => {
    const link = event.target.closest("a.more");
    if (!link || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    try {
      fill(await fragment(link.href));
    } catch {
      location.assign(link.href);
      return;
    }
    opener = link;
    sheet.showModal();
  });
}

function watchSheet() {
  sheet.addEventListener("click", (event) => {
    if (event.target === sheet) sheet.close(); // beside it
    if (event.target.matches(".copy-link")) copy(event.target);
  });
  sheet.addEventListener("close", () => opener?.isConnected && opener.focus());
  managed.addEventListener("submit", async (event) => {
    event.preventDefault();
    const form = event.target;
    const chat = managed.querySelector(".manage").dataset.chat;
    try {
      const content = await send(form, event.submitter);
      if ("deletes" in form.dataset) taken(chat);
      else changed(chat, content);
    } catch (error) {
      const trouble = managed.querySelector("[role=alert]");
      trouble.textContent = error.message;
      trouble.hidden = false;
    }
  });
}

async function send(form, submitter) {
  const body = new FormData(form, submitter);
  body.set("fragment", "1");
  return parsed(await (await request(form.action, { method: "POST", body })).text());
}

function fill(content) {
  managed.replaceChildren(content);
  for (const button of managed.querySelectorAll(".copy-link")) button.hidden = !navigator.clipboard;
}

function changed(chat, content) {
  const { title, pinned } = content.querySelector(".manage").dataset;
  const wasPinned = managed.querySelector(".manage").dataset.pinned;
  const place = placeOfFocus();
  fill(content);
  placed(place);
  for (const text of rows.querySelectorAll(`li[data-chat="${chat}"] .title`)) text.textContent = title;
  if (pinned !== wasPinned) show(box.value.trim()).catch(() => {});
  drawSide();
}

/** Draws the earlier chats beside the list as they are now. */
async function drawSide() {
  const fresh = await page(location.pathname).catch(() => null); // what was there stays, then
  const chats = fresh?.getElementById("chats");
  if (chats) document.getElementById("chats").replaceChildren(...chats.childNodes);
}

/** Where the keyboard is among the controls of the sheet, so that it stays there when they are drawn anew. */
function placeOfFocus() {
  return [...managed.querySelectorAll("button, input, a")].indexOf(document.activeElement);
}

function placed(place) {
  const controls = managed.querySelectorAll("button, input:not([type=hidden]), a");
  controls[Math.min(Math.max(place, 0), controls.length - 1)]?.focus();
}

async function copy(button) {
  await navigator.clipboard.writeText(managed.querySelector(".link").value);
  button.textContent = button.dataset.done;
}

// --- deleted, and back

function taken(chat) {
  const row = rows.querySelector(`li[data-chat="${chat}"]`);
  const next = row.nextElementSibling ?? row.previousElementSibling;
  const mark = document.createComment("");
  row.replaceWith(mark);
  gone = { chat, row, mark };
  sheet.close();
  drawSide();
  toast.querySelector("span").textContent = word("deleted");
  toast.hidden = false;
  (next?.querySelector("a") ?? box).focus({ preventScroll: true });
  wait();
}

function watchToast() {
  // It stays for as long as somebody points at it or has come to it by keyboard.
  for (const kind of ["pointerenter", "focusin"]) toast.addEventListener(kind, () => clearTimeout(hiding));
  for (const kind of ["pointerleave", "focusout"]) toast.addEventListener(kind, wait);
  toast.querySelector("button").addEventListener("click", bringBack);
}

function wait() {
  clearTimeout(hiding);
  hiding = setTimeout(() => (toast.hidden = true), TOAST_MS);
}

async function bringBack() {
  const { chat, row, mark } = gone;
  const body = new FormData();
  body.set("fragment", "1");
  try {
    await request(`/chats/${chat}/restore/`, { method: "POST", body });
  } catch (error) {
    toast.querySelector("span").textContent = error.message;
    return;
  }
  toast.hidden = true;
  drawSide();
  if (!mark.isConnected) {
    await show(box.value.trim()).catch(() => {}); // the rows are others by now
    return;
  }
  mark.replaceWith(row);
  row.querySelector("a").focus();
}

// --- the keyboard

function watchKeys() {
  document.addEventListener("keydown", (event) => {
    if (event.isComposing || event.metaKey || event.ctrlKey || event.altKey || sheet.open) return;
    if (event.key === "ArrowDown") step(event, 1);
    else if (event.key === "ArrowUp") step(event, -1);
  });
}

/** Goes from the search to the rows and from row to row. */
function step(event, by) {
  const links = [...rows.querySelectorAll(".row")];
  const here = links.indexOf(document.activeElement.closest?.("li")?.querySelector(".row"));
  const isInSearch = document.activeElement === box;
  if (here < 0 && !isInSearch) return;
  event.preventDefault();
  const next = here < 0 ? (by > 0 ? links[0] : null) : (links[here + by] ?? (by < 0 ? box : null));
  next?.focus();
}
