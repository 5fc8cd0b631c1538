// Asking: takes what is typed, sends it once, and has the answer shown. New versions of the last exchange are asked for alike.

import { Draft } from "./draft.js";
import { request, word } from "./server.js";
import { isWriting, messages, mustWait, pickUp, resume, run, setBusy } from "./turns.js";

const LONG = /.{400}.|\n.*\n/s; // as in shown.py
const MOST_RESUMES = 3; // of answers that were interrupted, one after the other

const form = document.getElementById("ask");
const box = document.getElementById("text");
const trouble = document.getElementById("trouble");
let draft = new Draft(messages?.dataset.user, messages?.dataset.chat);
let retry = ask; // what the button beside a trouble does
let resumes = 0;

/** Takes over the forms that ask, and picks up an answer that is still being written. */
export function watchAsking() {
  if (!messages) return;
  if (form) watchForm();
  document.addEventListener("submit", (event) => {
    if (!event.target.matches("form[data-turn]")) return;
    event.preventDefault();
    revise(event.target);
  });
  document.addEventListener("keydown", (event) => {
    if (event.target.matches?.(".edit textarea")) sendOnEnter(event);
  });
  document.addEventListener("settled", ({ detail }) => goOn(detail));
  resume();
  if (!isWriting()) showLastQuestion();
}

function watchForm() {
  const questions = messages.querySelectorAll(".question");
  const last = questions[questions.length - 1]?.textContent;
  // The server has taken it, only its reply was lost.
  if (last && draft.isSent(last)) draft.forget(last);
  box.value ||= draft.take();
  box.addEventListener("input", () => draft.save(box.value));
  box.addEventListener("keydown", sendOnEnter);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    retry();
  });
  document.getElementById("send").addEventListener("click", () => { retry = ask; });
  showNetwork();
  for (const name of ["online", "offline"]) window.addEventListener(name, showNetwork);
  // Ready to type, but not where focus would open a keyboard over the page.
  if (!messages.dataset.chat && matchMedia("(hover: hover)").matches) box.focus({ preventScroll: true });
}

/** Sends with Enter; Shift and Enter is a new line. The Enter that confirms a syllable does neither. */
function sendOnEnter(event) {
  // Safari reports that Enter after the composition has ended, and tells it only by the old key code.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
  event.preventDefault();
  if (event.target === box) retry = ask;
  event.target.form.requestSubmit();
}

function showNetwork() {
  const line = document.getElementById("offline");
  line.hidden = navigator.onLine;
  line.textContent = navigator.onLine ? "" : word("away");
}

function ask() {
  const text = box.value;
  if (!text.trim() || mustWait()) return;
  const body = new FormData(form);
  body.set("key", draft.keyFor(text));
  const url = form.action;
  const [question, section] = fromTemplate(text);
  const place = scrollY;
  document.getElementById("intro")?.setAttribute("hidden", "");
  messages.append(question, section);
  question.scrollIntoView({ block: "start" });
  begin({
    section,
    send: () => post(url, body),
    onSent: () => { box.value = ""; },
    onStart: (event) => {
      draft.forget(text);
      name(event);
    },
    onFailure: () => {
      question.remove();
      section.remove();
      if (!messages.children.length) document.getElementById("intro")?.removeAttribute("hidden");
      scrollTo({ top: place });
      box.focus();
    },
    again: ask,
  });
}

/** Asks for a new version of the last exchange, in the place of the one that is there. */
function revise(asking, { isPatient = false } = {}) {
  if (mustWait()) return;
  const body = new FormData(asking);
  const kind = asking.dataset.turn;
  const answer = kind === "edit" ? asking.closest(".asked").nextElementSibling : asking.closest(".answer");
  const [question, section] = fromTemplate(body.get("text") ?? "");
  const hidden = kind === "edit" ? [answer.previousElementSibling, answer] : [answer];
  if (kind === "edit") answer.after(question, section);
  else answer.after(section);
  if (kind === "continue") {
    section.querySelector(".prose").append(...[...answer.querySelector(".prose").cloneNode(true).childNodes]);
  }
  for (const element of hidden) element.hidden = true;
  begin({
    section,
    isPatient,
    send: () => post(asking.action, body),
    onStart: () => hidden.forEach((element) => element.remove()),
    onFailure: () => {
      if (kind === "edit") question.remove();
      section.remove();
      for (const element of hidden) element.hidden = false;
    },
    again: () => revise(asking),
  });
}

/** Sends, and follows the answer; where sending fails everything is as before, with the means to try again. */
async function begin({ section, isPatient, send, onSent = () => {}, onStart, onFailure, again }) {
  setBusy(true);
  messages.classList.add("is-fresh");
  trouble.hidden = true;
  let first = null;
  if (!isPatient) {
    try {
      first = await send();
    } catch (error) {
      onFailure();
      setBusy(false);
      retry = again;
      complain(error);
      return;
    }
  }
  onSent();
  retry = ask;
  let hasStarted = false;
  // Until the stream has said where the answer is, the same request with the same key is the way to it.
  run(section, {
    first,
    again: () => (hasStarted ? pickUp() : send()),
    onStart: (event) => {
      if (!hasStarted) onStart(event);
      hasStarted = true;
    },
  });
}

function post(url, body) {
  return request(url, { method: "POST", headers: { Accept: "text/event-stream" }, body });
}

function fromTemplate(text) {
  const [question, section] = document.getElementById("asked").content.cloneNode(true).children;
  const heading = question.querySelector(".question");
  heading.textContent = text;
  heading.classList.toggle("is-long", LONG.test(text));
  return [question, section];
}

function complain(error) {
  trouble.querySelector("span").textContent = error.message;
  trouble.hidden = false;
}

/** Gives a new chat its address, its draft and its title. */
function name({ chat, title }) {
  if (messages.dataset.chat) return;
  messages.dataset.chat = chat;
  draft = new Draft(messages.dataset.user, chat);
  form.action = `/chats/${chat}/ask/`;
  history.replaceState(null, "", `/chats/${chat}/`);
  document.querySelector("#bar h1").textContent = title;
  box.placeholder = word("further");
}

/** Goes on with an answer that this page saw interrupted. All tabs ask with the same key, and so once. */
function goOn(section) {
  if (section.dataset.state !== "interrupted") {
    resumes = 0;
    return;
  }
  const asking = section.querySelector('form[data-turn="continue"]');
  if (!asking || resumes >= MOST_RESUMES) return;
  resumes += 1;
  asking.elements.key.value = `resume-${section.dataset.message}`;
  revise(asking, { isPatient: true });
}

/** A chat opens at its last question; a reload stays where the reader was. */
function showLastQuestion() {
  const [navigation] = performance.getEntriesByType("navigation");
  const questions = messages.querySelectorAll(".question");
  if (navigation?.type === "navigate" && !location.hash && questions.length > 1) {
    questions[questions.length - 1].scrollIntoView({ block: "start" });
  }
}
