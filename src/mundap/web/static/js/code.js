// Copies code blocks and whole answers.

const DONE_MS = 1500;

/** Gives each code block below `root` a button that copies it, and shows the buttons that copy answers. */
export function addCopyButtons(root) {
  for (const block of root.querySelectorAll(".prose > pre, .prose li pre, .prose blockquote pre")) addCopyButton(block);
  for (const button of root.querySelectorAll(".copy-answer")) button.hidden = false;
}

/** Gives a code block its button; one that has it is left alone. */
export function addCopyButton(block) {
  const template = document.getElementById("copy");
  if (!template || block.parentElement?.classList.contains("code")) return;
  const frame = document.createElement("div");
  frame.className = "code";
  block.replaceWith(frame);
  frame.append(block, template.content.firstElementChild.cloneNode(true));
}

/** Listens for presses of these buttons. */
export function watchCopying() {
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.(".copy, .copy-answer");
    if (button) copy(button);
  });
}

async function copy(button) {
  const block = button.closest(".code");
  await write(block ? block.querySelector("pre").textContent : await answerText(button.closest(".answer")));
  button.classList.add("is-done");
  const label = button.querySelector("span");
  const before = label?.textContent;
  if (label) label.textContent = button.dataset.done;
  else button.title = button.dataset.done;
  setTimeout(() => {
    button.classList.remove("is-done");
    if (label) label.textContent = before;
    else button.title = button.getAttribute("aria-label");
  }, DONE_MS);
}

/** Returns an answer's Markdown, with its sources below. */
async function answerText(section) {
  const response = await fetch(`/api/v1/messages/${section.dataset.message}/`);
  const { text, citations } = await response.json();
  const sources = citations.map(({ number, document: name, headings, url }) =>
    `[${number}] ${[name, ...headings].join(" › ")}${url ? ` ${url}` : ""}`);
  return [text, sources.join("\n")].filter(Boolean).join("\n\n");
}

/** Writes to the clipboard, the old way where a server without HTTPS gives no other. */
async function write(text) {
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(text);
    return;
  }
  const box = document.createElement("textarea");
  box.value = text;
  box.className = "unseen";
  document.body.append(box);
  box.select();
  document.execCommand("copy");
  box.remove();
}
