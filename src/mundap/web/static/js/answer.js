// Shows an answer as it arrives: blocks of HTML that the server has rendered, each put in place once it has changed.

import { addCopyButton } from "./code.js";
import { events } from "./stream.js";
import { word } from "./server.js";

/** One answer on the page, whatever number of streams it takes to arrive. */
export class Arrival {
  message = "";
  #section;
  #prose;
  #blocks = []; // of the shown text: { html, elements }
  #incoming = []; // the HTML of each block as this stream tells it; a new stream begins anew
  #changed = new Set();
  #frame = 0;
  #said = 0;

  constructor(section) {
    this.#section = section;
    this.#prose = section.querySelector(".prose");
    for (const element of this.#prose.children) {
      this.#blocks.push({ html: rawHtml(element), elements: [element.closest(".code") ?? element] });
    }
    this.#said = this.#blocks.length;
  }

  /** Follows a stream; returns its last event, or null where it broke off. `onStart` hears of the first. */
  async follow(response, { onStart }) {
    this.#incoming = [];
    for await (const event of events(response)) {
      if (event.kind === "start") {
        this.message = event.message;
        onStart(event);
      } else if (event.kind === "found") {
        this.tell(word("writing"));
      } else if (event.kind === "blocks") {
        this.#take(event.changes);
      } else if (event.kind === "end") {
        this.#show();
        this.#speak(this.#blocks.length);
        return event;
      }
    }
    return null;
  }

  /** Says below the text, where there will be more of it, what is going on. */
  tell(text) {
    let line = this.#section.querySelector(".waiting");
    if (!line) {
      line = document.createElement("p");
      line.className = "waiting";
      this.#prose.after(line);
    }
    line.textContent = text;
  }

  /** Puts the stored answer in the place of this one; blocks that are the same stay as they are. */
  settle(rendered) {
    const blocks = [...rendered.querySelector(".prose").children];
    blocks.forEach((element, index) => {
      const shown = this.#blocks[index]?.elements.map(rawHtml).join("");
      if (shown !== element.outerHTML) this.#put(index, element.outerHTML);
    });
    for (const { elements } of this.#blocks.splice(blocks.length)) elements.forEach((each) => each.remove());
    const body = this.#prose.parentElement;
    for (const child of [...body.childNodes]) if (child !== this.#prose) child.remove();
    let isBefore = true;
    for (const child of [...rendered.querySelector(".body").childNodes]) {
      if (child.nodeType === Node.ELEMENT_NODE && child.matches(".prose")) isBefore = false;
      else if (isBefore) this.#prose.before(child);
      else body.append(child);
    }
    for (const { name } of [...this.#section.attributes]) this.#section.removeAttribute(name);
    for (const { name, value } of rendered.attributes) this.#section.setAttribute(name, value);
    return this.#section;
  }

  #take(changes) {
    for (const { index, at, html } of changes) {
      this.#incoming[index] = (this.#incoming[index] ?? "").slice(0, at) + html;
      this.#changed.add(index);
    }
    // One change a frame; a page that nobody sees has no frames.
    if (document.hidden) this.#show();
    else this.#frame ||= requestAnimationFrame(() => this.#show());
  }

  #show() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    if (!this.#changed.size) return;
    this.#section.querySelector(".waiting")?.remove();
    for (const index of [...this.#changed].sort((a, b) => a - b)) this.#put(index, this.#incoming[index]);
    this.#changed.clear();
    this.#speak(this.#incoming.length - 1);
  }

  #put(index, html) {
    const before = this.#blocks[index];
    if (before?.html === html) return;
    const holder = document.createElement("template");
    holder.innerHTML = html;
    let elements = [...holder.content.children];
    for (const element of elements) if (element.matches("pre")) addCopyButton(element);
    elements = [...holder.content.children];
    const place = before?.elements[0] ?? null;
    if (place) place.replaceWith(holder.content);
    else this.#prose.append(holder.content);
    for (const old of before?.elements ?? []) old.remove();
    this.#blocks[index] = { html, elements };
  }

  /** Says the blocks before `end`, which will not change any more, each once. */
  #speak(end) {
    for (; this.#said < end; this.#said += 1) {
      for (const element of this.#blocks[this.#said]?.elements ?? []) {
        say(element.matches(".code, pre") ? word("code") : spoken(element));
      }
    }
  }
}

/** Returns a block's HTML as the server wrote it, without what our scripts have added. */
function rawHtml(element) {
  return (element.matches(".code") ? element.querySelector("pre") : element).outerHTML;
}

function spoken(element) {
  const copy = element.cloneNode(true);
  for (const marker of copy.querySelectorAll(".citation")) marker.remove();
  return copy.textContent;
}

/** Adds a line to the live region. */
export function say(text) {
  const plain = text.trim();
  if (!plain) return;
  const line = document.createElement("p");
  line.textContent = plain;
  document.getElementById("spoken")?.append(line);
}

/** Empties the live region before the next answer. */
export function hush() {
  document.getElementById("spoken")?.replaceChildren();
}
