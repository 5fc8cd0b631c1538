// Requests to this site, and what to say when they fail.

const words = document.getElementById("words")?.dataset ?? {};

/** A text of the page's language, from the element #words. */
export function word(name) {
  return words[name] ?? "";
}

/** A request that went wrong, with a message that can be shown. */
export class Trouble extends Error {
  constructor(message, { status = 0, code = "" } = {}) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** Returns the response of a successful request; throws Trouble otherwise. */
export async function request(url, { method = "GET", headers = {}, body, signal } = {}) {
  if (method !== "GET") headers["X-CSRFToken"] = csrfToken();
  if (body instanceof FormData) body.delete("csrfmiddlewaretoken"); // the page's own may be of an earlier log-in
  let response;
  try {
    response = await fetch(url, { method, headers, body, signal, credentials: "same-origin" });
  } catch {
    throw new Trouble(word("offline"));
  }
  if (response.redirected && new URL(response.url).pathname.startsWith("/accounts/")) {
    throw new Trouble(word("signedOut"), { status: 401 });
  }
  if (response.ok) return response;
  throw await troubleOf(response);
}

/** Returns the page at the address, or what the form leads to, as a document in which nothing runs. */
export async function page(url, { body } = {}) {
  const response = await request(url, { method: body ? "POST" : "GET", headers: { Accept: "text/html" }, body });
  return new DOMParser().parseFromString(await response.text(), "text/html");
}

async function troubleOf(response) {
  const { status } = response;
  const body = await response.json().catch(() => null);
  const code = body?.error?.code ?? "";
  if (status === 401) return new Trouble(word("signedOut"), { status, code });
  return new Trouble(body?.error?.message || word("failed"), { status, code });
}

/** The token that a request which writes must have; another tab's log-in changes it. */
export function csrfToken() {
  return /(?:^|; )csrftoken=([^;]*)/.exec(document.cookie)?.[1] ?? "";
}
