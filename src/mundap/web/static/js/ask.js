// Asking: takes the typed text, sends it once, follows the answer, and puts the server's rendering in its place.

import { Arrival, hush, say } from "./answer.js";
import { addCopyButtons } from "./code.js";
import { Draft } from "./draft.js";
import { request, word } from "./server.js";

const RETRY_MS = [500, 1000, 2000, 4000, 8000, 15000];

const form = document.getElementById("ask");
const box = document.getElementById("text");
const messages = document.getElementById("messages");
const trouble = document.getElementById("trouble");
const sendButton = document.getElementById("send");
const stopButton = document.getElementById("stop");
let draft = new Draft(messages?.dataset.chat);
let turn = "";
let isBusy = false;

/** Takes over the form, and picks up an answer that is still being written. */
export function watchAsking() {
  if (!messages) return;
  if (form) watchForm();
  const running = messages.querySelector('.answer[data-state="running"]');
  if (running) resume(running);
  else showLastQuestion();
}

function watchForm() {
  box.value ||= draft.text;
  box.addEventListener("input", () => draft.save(box.value));
  box.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || isComposing(event)) return;
    event.preventDefault();
    form.requestSubmit();
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    ask();
  });
  stopButton.addEventListener("click", stop);
  // Ready to type, but not where focus would open a keyboard over the page.
  if (!messages.dataset.chat && matchMedia("(hover: hover)").matches) box.focus({ preventScroll: true });
}

/** Is this Enter the one that confirms a syllable? Safari says so only by the old key code. */
function isComposing(event) {
  return event.isComposing || event.keyCode === 229;
}

async function ask() {
  const text = box.value;
  if (isBusy || !text.trim()) return;
  setBusy(true);
  trouble.hidden = true;
  const shown = showQuestion(text);
  let response;
  try {
    response = await post(text);
  } catch (error) {
    shown.forEach((element) => element.remove());
    complain(error);
    setBusy(false);
    return;
  }
  box.value = "";
  draft.forget();
  const section = shown[1];
  await follow(new Arrival(section), section, response);
}

function post(text) {
  const { chat } = messages.dataset;
  const collection = new FormData(form).get("collection");
  return request(chat ? `/api/v1/chats/${chat}/turns/` : "/api/v1/chats/", {
    method: "POST",
    headers: {
      "Accept": "text/event-stream",
      "Content-Type": "application/json",
      "Idempotency-Key": draft.keyFor(text),
    },
    body: JSON.stringify(chat ? { text } : { collection, text }),
  });
}

function showQuestion(text) {
  const shown = [...document.getElementById("asked").content.cloneNode(true).children];
  shown[0].textContent = text;
  shown[0].classList.toggle("is-long", text.length > 400);
  document.getElementById("intro")?.setAttribute("hidden", "");
  hush();
  messages.classList.add("is-fresh");
  messages.append(...shown);
  shown[0].scrollIntoView({ block: "start" });
  return shown;
}

function complain(error) {
  if (!messages.children.length) document.getElementById("intro")?.removeAttribute("hidden");
  trouble.querySelector("span").textContent = error.message;
  trouble.hidden = false;
  box.focus();
}

async function resume(section) {
  turn = section.dataset.turn ?? "";
  setBusy(true);
  await follow(new Arrival(section), section, null);
}

/** Follows the answer to its end, however often the connection breaks. */
async function follow(arrival, section, response) {
  arrival.message = section.dataset.message ?? "";
  let isFinished = await read(arrival, response);
  for (const wait of RETRY_MS) {
    if (isFinished) break;
    try {
      const again = await request(`/api/v1/chats/${messages.dataset.chat}/stream`);
      isFinished = again.status === 204 || (await read(arrival, again));
      if (isFinished) break;
    } catch {
      arrival.tell(word("reconnecting"));
    }
    await online(wait);
  }
  if (isFinished) await settle(arrival, section);
  else arrival.tell(word("lost"));
  setBusy(false);
}

async function read(arrival, response) {
  if (!response) return false;
  try {
    return await arrival.follow(response, { onPart: notice });
  } catch {
    return false; // the connection broke: what came stays on the page
  }
}

/** Takes the ids of a new chat and of the turn from the stream, and the chat's first title. */
function notice(part) {
  if (part.type === "data-title") document.querySelector("#bar h1").textContent = part.data.title;
  const ids = part.messageMetadata;
  if (!ids) return;
  turn = ids.turn ?? turn;
  if (ids.chat && !messages.dataset.chat) {
    messages.dataset.chat = ids.chat;
    draft = new Draft(ids.chat);
    history.replaceState(null, "", `/chats/${ids.chat}/`);
  }
}

/** Puts the server's rendering of the answer, the chat's names and the list of chats in place. */
async function settle(arrival, section) {
  let html;
  try {
    html = await (await request(`/messages/${arrival.message}/`)).text();
  } catch {
    section.setAttribute("aria-busy", "false");
    arrival.tell(word("lost"));
    return;
  }
  const holder = document.createElement("template");
  holder.innerHTML = html;
  const rendered = holder.content.querySelector(".answer");
  for (const piece of holder.content.querySelectorAll("template[data-into]")) {
    document.getElementById(piece.dataset.into)?.replaceChildren(piece.content);
  }
  document.title = holder.content.querySelector("title")?.textContent ?? document.title;
  addCopyButtons(rendered);
  section.replaceWith(rendered);
  say(word("done"));
}

async function stop() {
  if (!turn) return;
  stopButton.disabled = true;
  try {
    await request(`/api/v1/turns/${turn}/stop/`, { method: "POST" });
  } catch {
    stopButton.disabled = false; // the answer goes on; one may press again
  }
}

function setBusy(value) {
  isBusy = value;
  if (!form) return;
  sendButton.hidden = value;
  stopButton.hidden = !value;
  stopButton.disabled = false;
  box.readOnly = value && !messages.dataset.chat && !turn;
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

/** A chat opens at its last question; a reload stays where the reader was. */
function showLastQuestion() {
  const [navigation] = performance.getEntriesByType("navigation");
  const questions = messages.querySelectorAll(".question");
  if (navigation?.type === "navigate" && !location.hash && questions.length > 1) {
    questions[questions.length - 1].scrollIntoView({ block: "start" });
  }
}
