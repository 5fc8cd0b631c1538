// A summary that is being made, in the pane or on its page: shows how far it is until it is there, and has one made.

import { request } from "./server.js";

const waiting = new WeakSet(); // those that will be asked for again

/** Follows the page's own summary, and takes over the form that has one made. */
export function watchSummaries() {
  followSummary(document.querySelector("main .summary"));
  document.addEventListener("submit", (event) => {
    if (!event.target.matches(".summary form")) return;
    event.preventDefault();
    make(event.target);
  });
}

/** Asks again for a summary that is being made, as long as it is shown. */
export function followSummary(article) {
  if (article?.dataset.state !== "making" || waiting.has(article)) return;
  waiting.add(article);
  setTimeout(() => again(article), Number(article.dataset.poll) * 1000);
}

async function again(article) {
  waiting.delete(article);
  if (!article.isConnected) return;
  if (document.hidden) {
    document.addEventListener("visibilitychange", () => followSummary(article), { once: true });
    return;
  }
  const fresh = await request(article.dataset.url).then(fragmentOf, () => null); // the server may be starting again
  followSummary(fresh ? replaced(article, fresh) : article);
}

async function make(form) {
  const article = form.closest(".summary");
  const button = form.querySelector("button[type=submit]");
  button.disabled = true;
  try {
    const body = new FormData(form);
    const fresh = await fragmentOf(await request(article.dataset.url, { method: "POST", body }));
    followSummary(replaced(article, fresh, { isAsked: true }));
  } catch {
    button.disabled = false;
    const line = form.querySelector("[role=alert]");
    line.textContent = line.dataset.failed;
    line.hidden = false;
  }
}

async function fragmentOf(response) {
  const holder = document.createElement("template");
  holder.innerHTML = await response.text();
  return holder.content.querySelector(".summary");
}

/** Puts what is new in place; while it is being made only how far it is. Returns what is shown now. */
function replaced(article, fresh, { isAsked = false } = {}) {
  const line = article.querySelector(".making");
  const news = fresh.querySelector(".making");
  if (line && news) {
    if (line.innerHTML !== news.innerHTML) line.replaceChildren(...news.childNodes);
    return article;
  }
  const isReading = isAsked || article.contains(document.activeElement);
  article.replaceWith(fresh);
  if (isReading) fresh.focus({ preventScroll: true });
  return fresh;
}
