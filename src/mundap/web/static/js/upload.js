// Sends files one by one, each with its own progress. Without this script the same form sends them all at once.

import { csrfToken, request, Trouble, word } from "./server.js";

/** Takes over the form with which files are given. */
export function watchUploads() {
  const form = document.querySelector("form.upload");
  if (form) new Upload(form).watch();
}

class Upload {
  #form;
  #input;
  #list;
  #trouble;
  #rows = new Map(); // by file
  #address;

  constructor(form) {
    this.#form = form;
    this.#input = form.querySelector("input[type=file]");
    this.#list = form.querySelector(".sent");
    this.#trouble = form.querySelector(".trouble");
    this.#address = form.dataset.upload;
  }

  watch() {
    const drop = this.#form.querySelector(".drop");
    const isOver = (yes) => drop.classList.toggle("is-over", yes);
    for (const name of ["dragenter", "dragover"]) {
      drop.addEventListener(name, (event) => {
        event.preventDefault();
        isOver(true);
      });
    }
    drop.addEventListener("dragleave", () => isOver(false));
    drop.addEventListener("drop", (event) => {
      event.preventDefault();
      isOver(false);
      this.#add(event.dataTransfer);
    });
    this.#input.addEventListener("change", () => {
      for (const file of this.#input.files) this.#show(file);
      this.#input.value = "";
    });
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
  }

  #add(transfer) {
    const items = [...transfer.items].filter((item) => item.kind === "file");
    for (const item of items) {
      const isFolder = item.webkitGetAsEntry?.()?.isDirectory;
      const file = item.getAsFile();
      if (file) this.#show(file, isFolder ? word("folder") : undefined);
    }
  }

  #show(file, refusal = this.#refusal(file)) {
    const row = this.#form.querySelector(".sending").content.firstElementChild.cloneNode(true);
    row.querySelector(".name").textContent = file.name;
    row.querySelector("progress").ariaLabel = file.name;
    row.querySelector(".outcome").textContent = word("waiting");
    this.#list.append(row);
    this.#rows.set(file, row);
    if (refusal) this.#refuse(file, refusal);
  }

  /** What is wrong with a file that need not be sent to know it; empty if nothing is. */
  #refusal(file) {
    if (file.size > Number(this.#input.dataset.maxBytes)) return word("tooLarge");
    const kinds = this.#input.accept.split(",");
    const name = file.name.toLowerCase();
    return kinds.some((kind) => name.endsWith(kind)) ? "" : word("wrongKind");
  }

  async #send() {
    const button = this.#form.querySelector("button[type=submit]");
    this.#trouble.hidden = true;
    button.disabled = true;
    try {
      this.#address ??= await this.#make();
      const waiting = [...this.#rows].filter(([, row]) => !row.dataset.done);
      let refused = 0;
      for (const [file] of waiting) refused += (await this.#sendFile(file)) ? 0 : 1;
      if (!refused) location.assign(this.#form.dataset.page ?? location.pathname);
    } catch (error) {
      this.#trouble.textContent = error.message;
      this.#trouble.hidden = false;
      this.#trouble.scrollIntoView({ block: "nearest" });
    }
    button.disabled = false;
  }

  /** Makes the collection that the files are for; returns where to send them. */
  async #make() {
    const given = [...new FormData(this.#form)].filter(
      ([name, value]) => typeof value === "string" && value.trim() && name !== "csrfmiddlewaretoken",
    );
    const response = await request(this.#form.dataset.make, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(Object.fromEntries(given)),
    });
    const { slug } = await response.json();
    this.#form.dataset.page += `${slug}/`;
    return `${this.#form.dataset.make}${slug}/files/`;
  }

  async #sendFile(file) {
    const row = this.#rows.get(file);
    const bar = row.querySelector("progress");
    row.classList.remove("is-refused");
    try {
      await post(this.#address, file, (share) => {
        bar.value = 100 * share;
        row.querySelector(".outcome").textContent = `${Math.round(100 * share)} %`;
      });
    } catch (error) {
      this.#refuse(file, error.message, error.isFinal === true);
      return false;
    }
    row.dataset.done = "yes";
    row.querySelector(".outcome").textContent = word("stored");
    return true;
  }

  /** Says why a file is not taken; one that may be taken another time is sent again with the next press. */
  #refuse(file, why, isFinal = true) {
    const row = this.#rows.get(file);
    row.classList.add("is-refused");
    row.querySelector(".outcome").textContent = why;
    if (isFinal) row.dataset.done = "yes";
  }
}

/** Sends one file; fetch() tells nothing of how far it is. */
function post(url, file, onProgress) {
  const body = new FormData();
  body.append("files", file);
  return new Promise((resolve, reject) => {
    const sent = new XMLHttpRequest();
    sent.open("POST", url);
    sent.setRequestHeader("X-CSRFToken", csrfToken());
    sent.responseType = "json";
    sent.upload.addEventListener("progress", (event) => {
      if (event.lengthComputable) onProgress(event.loaded / event.total);
    });
    sent.addEventListener("error", () => reject(new Trouble(word("offline"))));
    sent.addEventListener("load", () => {
      if (sent.status < 300) resolve();
      else if (sent.status === 401) reject(new Trouble(word("signedOut")));
      else {
        const trouble = new Trouble(sent.response?.error?.message || word("failed"));
        trouble.isFinal = sent.status < 500 && sent.status !== 429;
        reject(trouble);
      }
    });
    sent.send(body);
  });
}
