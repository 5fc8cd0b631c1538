// An answer's way onto the page: followed to its end however often the connection breaks, then shown as it is stored.

import { Arrival, hush, say } from "./answer.js";
import { addCopyButtons } from "./code.js";
import { page, request, word } from "./server.js";

const RETRY_MS = [500, 1000, 2000, 4000, 8000, 15000]; // the last one again and again
const TITLE_MS = 4000;
const GONE = [401, 403, 404, 409, 422]; // logged out, deleted, or changed in another tab: to be asked no more

export const messages = document.getElementById("messages");
const channel = "BroadcastChannel" in window ? new BroadcastChannel("mundap") : null;
const stopButton = document.getElementById("stop");
const waitLine = document.getElementById("wait");
const signatures = new WeakMap(); // of what the server sent for an element
let turn = "";
let isBusy = false;

/** Is an answer being written in this tab? */
export function isWriting() {
  return isBusy;
}

/** Is an answer being written? Then it is said that one has to wait. */
export function mustWait() {
  if (isBusy && waitLine) waitLine.textContent = word("wait");
  return isBusy;
}

/** Shows that an answer is on its way, or that one may ask. */
export function setBusy(value) {
  isBusy = value;
  if (!stopButton) return;
  document.getElementById("send").hidden = value;
  stopButton.hidden = !value;
  stopButton.disabled = !turn;
  if (!value) waitLine.textContent = "";
}

/** Notes what the server has sent, and makes it usable. */
export function adopt(root = messages) {
  for (const element of root.children) signatures.set(element, signatureOf(element));
  addCopyButtons(root);
}

/** Returns the stream of what is being written in this chat; its status is 204 when nothing is. */
export function pickUp() {
  return request(`/chats/${messages.dataset.chat}/stream/`, { headers: { Accept: "text/event-stream" } });
}

/** Picks up an answer that the page shows as being written. */
export function resume() {
  const section = messages.querySelector('.answer[data-state="running"]');
  if (!section || isBusy) return;
  turn = section.dataset.turn ?? "";
  setBusy(true);
  run(section, { again: pickUp });
}

/** Follows the answer to its end. `first` is its stream, `again` asks for it after a break; resolves when it is shown. */
export async function run(section, { first = null, again, onStart = () => {} }) {
  hush();
  const arrival = new Arrival(section);
  let response = first;
  for (let attempt = 0; ; attempt += 1) {
    try {
      response ??= await again();
      const end = response.status === 204 ? await missed(arrival, section) : await arrival.follow(response, { onStart: heard });
      if (end) {
        settle(section, arrival, end);
        break;
      }
    } catch (error) {
      if (GONE.includes(error.status)) {
        arrival.tell(error.message);
        setBusy(false);
        refresh();
        break;
      }
    }
    response = null;
    arrival.tell(word("reconnecting"));
    await online(RETRY_MS[Math.min(attempt, RETRY_MS.length - 1)]);
  }

  function heard(event) {
    turn = event.turn;
    setBusy(true);
    onStart(event);
    channel?.postMessage(event.chat);
  }
}

/** Returns the end of an answer whose stream was gone before this page came back to it. */
async function missed(arrival, section) {
  const message = arrival.message || section.dataset.message;
  if (message) return { html: await (await request(`/messages/${message}/`)).text() };
  location.reload(); // it came to its end before this page learnt its name
  return new Promise(() => {});
}

function settle(section, arrival, { html }) {
  const rendered = fragmentOf(html);
  const answer = rendered.querySelector(".answer");
  const signature = signatureOf(answer);
  arrival.settle(answer);
  signatures.set(section, signature);
  settleQuestion(section.previousElementSibling, rendered.querySelector(".asked"));
  addCopyButtons(section);
  turn = "";
  setBusy(false);
  swapNames(rendered);
  say(word("done"));
  channel?.postMessage(messages.dataset.chat);
  // The first answer's chat gets its title from the model a moment later.
  if (messages.querySelectorAll(".question").length === 1) {
    setTimeout(() => request(`/messages/${section.dataset.message}/`).then(async (response) =>
      swapNames(fragmentOf(await response.text()))).catch(() => {}), TITLE_MS);
  }
  document.dispatchEvent(new CustomEvent("settled", { detail: section }));
}

/** Gives the question what the stored one has: its versions, and the means to change it. */
function settleQuestion(shown, stored) {
  if (!shown || !stored) return;
  signatures.set(stored, signatureOf(stored));
  shown.replaceWith(stored);
}

function fragmentOf(html) {
  const holder = document.createElement("template");
  holder.innerHTML = html;
  return holder.content;
}

function swapNames(rendered) {
  for (const piece of rendered.querySelectorAll("template[data-into]")) swap(piece.dataset.into, piece.innerHTML);
  const title = rendered.querySelector("title");
  if (title) document.title = title.textContent;
}

/** Puts new HTML of this server's into an element, unless somebody is using what is there. */
function swap(id, html) {
  const element = document.getElementById(id);
  if (!element || element.contains(document.activeElement) || element.querySelector(":popover-open")) return;
  const fresh = fragmentOf(html);
  if (withoutKeys(element.innerHTML) !== withoutKeys(html)) element.replaceChildren(fresh);
}

/** Shows the chat as it is on the server now: asked further, changed or answered in another tab. */
export async function refresh() {
  if (isBusy || !messages?.dataset.chat) return;
  let fresh;
  try {
    fresh = await page(location.pathname + location.search);
  } catch {
    return; // later
  }
  if (isBusy || !fresh.getElementById("messages")) return;
  patch(fresh.getElementById("messages"));
  for (const id of ["bar", "chats"]) swap(id, fresh.getElementById(id)?.innerHTML ?? "");
  document.title = fresh.title;
  resume();
}

function patch(fresh) {
  let place = messages.firstElementChild;
  for (const element of [...fresh.children]) {
    const known = element.id && document.getElementById(element.id);
    const signature = signatureOf(element);
    if (known && known.parentElement === messages && (signatures.get(known) === signature || isInUse(known))) {
      while (place && place !== known) place = removed(place);
      place = known.nextElementSibling;
      continue;
    }
    signatures.set(element, signature);
    if (known) known.replaceWith(element);
    else messages.insertBefore(element, place);
    place = element.nextElementSibling;
    addCopyButtons(element);
  }
  while (place) place = removed(place);
}

function removed(element) {
  const next = element.nextElementSibling;
  element.remove();
  return next;
}

/** Is somebody typing in it? */
function isInUse(element) {
  return element.contains(document.activeElement) && document.activeElement.matches("textarea");
}

function signatureOf(element) {
  return withoutKeys(element.outerHTML);
}

function withoutKeys(html) {
  return html.replace(/name="(csrfmiddlewaretoken|key)" value="[^"]*"/g, "");
}

/** Keeps the tabs of one chat alike: what one hears, the others ask for; a tab that is looked at again asks by itself. */
export function watchOtherTabs() {
  channel?.addEventListener("message", ({ data }) => data === messages?.dataset.chat && refresh());
  document.addEventListener("visibilitychange", () => document.hidden || refresh());
  window.addEventListener("pageshow", (event) => event.persisted && refresh());
  window.addEventListener("online", refresh);
}

/** Listens for the press that stops an answer. */
export function watchStopping() {
  stopButton?.addEventListener("click", async () => {
    stopButton.disabled = true;
    try {
      await request(`/api/v1/turns/${turn}/stop/`, { method: "POST" });
    } catch {
      stopButton.disabled = false; // the answer goes on; one may press again
    }
  });
}

/** Waits, and no longer than until the network is back. */
function online(milliseconds) {
  return new Promise((resolve) => {
    const timer = setTimeout(done, milliseconds);
    window.addEventListener("online", done, { once: true });
    function done() {
      clearTimeout(timer);
      window.removeEventListener("online", done);
      resolve();
    }
  });
}
