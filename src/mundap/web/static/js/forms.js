// Small forms about a message (an opinion, another version) without leaving the page; and closing what was opened.

import { request } from "./server.js";
import { mustWait, refresh } from "./turns.js";

/** Takes over the forms marked with `data-page`, present and future. */
export function watchForms() {
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!form.matches("form[data-page]")) return;
    event.preventDefault();
    if (!mustWait()) send(form, event.submitter);
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-close]");
    if (button) close(button.closest("details"));
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || event.isComposing) return;
    const open = event.target.closest?.("details.edit[open]");
    if (!open) return;
    event.stopPropagation();
    close(open);
  });
  document.addEventListener("toggle", (event) => {
    const box = event.target.matches?.("details.edit[open]") && event.target.querySelector("textarea");
    if (!box) return;
    box.focus();
    box.setSelectionRange(box.value.length, box.value.length);
  }, true);
}

async function send(form, submitter) {
  const section = form.closest("[id]")?.id;
  const focused = submitter?.id;
  try {
    await request(form.action, { method: "POST", body: new FormData(form, submitter) });
  } catch {
    return; // it stays as it was, to be pressed again
  }
  document.activeElement?.blur();
  await refresh();
  const message = document.getElementById(section);
  const target = message?.querySelector(".why[open] [type=radio]") ?? document.getElementById(focused) ?? message?.querySelector(".why summary");
  (target?.disabled ? target.closest(".versions")?.querySelector("button:enabled") : target)?.focus({ preventScroll: true });
}

function close(details) {
  details.open = false;
  details.querySelector("summary").focus();
}
