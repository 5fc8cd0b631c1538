// Reads server-sent events over fetch, because an answer is asked for with a POST.

const SILENCE_MS = 25_000; // the server says something every fifteen seconds
const WAKE_MS = 4_000; // after a sleep, a connection that was silent for as long is taken for dead

/** Yields the events as they arrive; it ends early, without an error, when the connection breaks or falls silent. */
export async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  const watch = new Watch(() => reader.cancel().catch(() => {}));
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      watch.heard();
      rest += value;
      const blocks = rest.split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) {
        if (block.startsWith("data: ")) yield JSON.parse(block.slice(6));
      }
    }
  } finally {
    watch.end();
    reader.cancel().catch(() => {});
  }
}

/** Gives a connection up that says nothing: after a tunnel or a sleep the browser may not notice for minutes. */
class Watch {
  #last = Date.now();
  #ended = new AbortController();

  constructor(giveUp) {
    const { signal } = this.#ended;
    const look = (limit) => Date.now() - this.#last > limit && giveUp();
    const timer = setInterval(() => look(SILENCE_MS), 5_000);
    signal.addEventListener("abort", () => clearInterval(timer));
    window.addEventListener("online", () => look(WAKE_MS), { signal });
    document.addEventListener("visibilitychange", () => document.hidden || look(WAKE_MS), { signal });
  }

  heard() {
    this.#last = Date.now();
  }

  end() {
    this.#ended.abort();
  }
}
