// Shows an answer as it arrives: plain text that grows, spoken sentence by sentence to a screen reader.

import { parts } from "./stream.js";
import { word } from "./server.js";

const SENTENCE_END = /[.!?。](?=\s)|\n\n+/g;

/** One answer on the page, whatever number of streams it takes to arrive. */
export class Arrival {
  message = "";
  #section;
  #text = document.createTextNode("");
  #waiting;
  #voice = new Voice();

  constructor(section) {
    this.#section = section;
    const prose = section.querySelector(".prose");
    prose.classList.add("is-arriving");
    prose.append(this.#text);
    this.#waiting = section.querySelector(".waiting");
  }

  /** Follows a stream; returns whether it came to its end. One that is picked up again starts from the beginning. */
  async follow(response, { onPart }) {
    for await (const part of parts(response)) {
      this.#show(part);
      onPart(part);
      if (part.type === "finish") {
        this.#voice.end();
        return true;
      }
    }
    return false;
  }

  /** Says above the text what is going on. */
  tell(text) {
    if (!this.#waiting.isConnected) this.#section.prepend(this.#waiting);
    this.#waiting.textContent = text;
  }

  #show(part) {
    if (part.type === "start") {
      this.message = part.messageId;
      this.#section.querySelector(".prose").replaceChildren(this.#text);
      this.#text.data = "";
      this.#voice.restart();
    } else if (part.type === "text-delta") {
      this.#waiting.remove();
      this.#text.appendData(part.delta);
      this.#voice.hear(part.delta);
    } else if (part.type === "data-retrieval") {
      this.tell(word("writing"));
    }
  }
}

/** Says a text in whole sentences, each once, also when it is heard again from the beginning. */
class Voice {
  #text = "";
  #said = 0;

  restart() {
    this.#text = "";
  }

  hear(text) {
    this.#text += text;
    let end = 0;
    for (const match of this.#text.slice(this.#said).matchAll(SENTENCE_END)) end = match.index + match[0].length;
    if (end) this.#sayUpTo(this.#said + end);
  }

  end() {
    this.#sayUpTo(this.#text.length);
  }

  #sayUpTo(end) {
    say(this.#text.slice(this.#said, end));
    this.#said = Math.max(this.#said, end);
  }
}

/** Adds a line to the live region. */
export function say(text) {
  const plain = text.replace(/[`*#]|\[\d+\]/g, "").trim();
  if (!plain) return;
  const line = document.createElement("p");
  line.textContent = plain;
  document.getElementById("spoken").append(line);
}

/** Empties the live region before the next answer. */
export function hush() {
  document.getElementById("spoken").replaceChildren();
}
