// Asking: takes the typed text, sends it once, follows the answer, and puts the server's rendering in its place.

import { Arrival, hush, say } from "./answer.js";
import { addCopyButtons } from "./code.js";
import { Draft } from "./draft.js";
import { request, word } from "./server.js";

const RETRY_MS = [500, 1000, 2000, 4000, 8000, 15000]; // the last one again and again
const TITLE_MS = 4000;
const LONG_CHARACTERS = 400; // as in shown.py
const GONE = [401, 403, 404]; // logged out, or deleted in another tab

const form = document.getElementById("ask");
const box = document.getElementById("text");
const messages = document.getElementById("messages");
const trouble = document.getElementById("trouble");
const sendButton = document.getElementById("send");
const stopButton = document.getElementById("stop");
let draft = new Draft(messages?.dataset.chat);
let asked = ""; // the question on its way
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
  const key = draft.keyFor(text);
  asked = text;
  turn = "";
  setBusy(true);
  trouble.hidden = true;
  const [question, section] = showQuestion(text);
  let response;
  try {
    response = await post(text, key);
  } catch (error) {
    question.remove();
    section.remove();
    complain(error);
    setBusy(false);
    return;
  }
  box.value = "";
  // Until the stream has named the chat, asking again with the same key is the way back to it.
  await follow(section, response, () => (messages.dataset.chat ? pickUp() : post(text, key)));
}

function post(text, key) {
  const { chat } = messages.dataset;
  const collection = new FormData(form).get("collection");
  return request(chat ? `/api/v1/chats/${chat}/turns/` : "/api/v1/chats/", {
    method: "POST",
    headers: {
      "Accept": "text/event-stream",
      "Content-Type": "application/json",
      "Idempotency-Key": key,
    },
    body: JSON.stringify(chat ? { text } : { collection, text }),
  });
}

function showQuestion(text) {
  const [question, section] = document.getElementById("asked").content.cloneNode(true).children;
  question.textContent = text;
  question.classList.toggle("is-long", text.length > LONG_CHARACTERS);
  document.getElementById("intro")?.setAttribute("hidden", "");
  hush();
  messages.classList.add("is-fresh");
  messages.append(question, section);
  question.scrollIntoView({ block: "start" });
  return [question, section];
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
  await follow(section, await pickUp().catch(() => null), pickUp);
}

/** Returns the stream of what runs in this chat; its status is 204 when nothing does. */
function pickUp() {
  return request(`/api/v1/chats/${messages.dataset.chat}/stream`);
}

/** Follows the answer to its end, however often the connection breaks, and shows it as the server renders it. */
async function follow(section, first, again) {
  const arrival = new Arrival(section);
  let response = first;
  for (let attempt = 0; ; attempt += 1) {
    try {
      response ??= await again();
      if (response.status === 204 || (await arrival.follow(response, { onPart: notice }))) {
        await settle(arrival.message || section.dataset.message, section);
        break;
      }
    } catch (error) {
      if (GONE.includes(error.status)) {
        arrival.tell(error.message);
        break;
      }
    }
    response = null;
    arrival.tell(word("reconnecting"));
    await online(RETRY_MS[Math.min(attempt, RETRY_MS.length - 1)]);
  }
  setBusy(false);
}

/** Takes the ids of the chat and the turn from the stream, and the chat's first title. */
function notice(part) {
  if (part.type === "data-title") document.querySelector("#bar h1").textContent = part.data.title;
  const ids = part.messageMetadata;
  if (!ids) return;
  draft.forget(asked);
  turn = ids.turn;
  stopButton.disabled = false;
  if (!messages.dataset.chat) {
    messages.dataset.chat = ids.chat;
    draft = new Draft(ids.chat);
    history.replaceState(null, "", `/chats/${ids.chat}/`);
  }
}

/** Puts the server's rendering of the answer, the chat's name and the list of chats in place. */
async function settle(message, section) {
  if (!message) {
    location.reload(); // the answer came to its end before this page learnt its name
    return;
  }
  const settled = await renderedOf(message);
  const rendered = settled.querySelector(".answer");
  addCopyButtons(rendered);
  section.replaceWith(rendered);
  swapNames(settled);
  say(word("done"));
  // The first answer's chat gets its title from the model a moment later.
  if (messages.querySelectorAll(".question").length === 1) {
    setTimeout(() => renderedOf(message).then(swapNames, () => {}), TITLE_MS);
  }
}

async function renderedOf(message) {
  const holder = document.createElement("template");
  holder.innerHTML = await (await request(`/messages/${message}/`)).text();
  return holder.content;
}

function swapNames(settled) {
  if (document.querySelector("#bar :popover-open")) return; // somebody is typing a title
  for (const piece of settled.querySelectorAll("template[data-into]")) {
    document.getElementById(piece.dataset.into)?.replaceChildren(piece.content);
  }
  document.title = settled.querySelector("title").textContent;
}

async function stop() {
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
  stopButton.disabled = !turn;
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
