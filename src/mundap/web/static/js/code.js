// Gives each code block of an answer a button that copies it.

/** Adds the buttons below `root`; blocks that have one are left alone. */
export function addCopyButtons(root) {
  const template = document.getElementById("copy");
  if (!template || !navigator.clipboard) return;
  for (const block of root.querySelectorAll(".prose pre")) {
    if (block.parentElement.classList.contains("code")) continue;
    const frame = document.createElement("div");
    frame.className = "code";
    block.replaceWith(frame);
    const button = template.content.firstElementChild.cloneNode(true);
    frame.append(block, button);
    button.addEventListener("click", () => copy(block.textContent, button));
  }
}

async function copy(text, button) {
  const label = button.querySelector("span");
  const before = label.textContent;
  await navigator.clipboard.writeText(text);
  label.textContent = button.dataset.done;
  setTimeout(() => { label.textContent = before; }, 1500);
}
