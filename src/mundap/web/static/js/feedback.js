// Sends a thumb without leaving the page.

import { request } from "./server.js";

/** Takes over the feedback forms, present and future. */
export function watchFeedback() {
  document.addEventListener("submit", async (event) => {
    const form = event.target;
    if (!form.matches(".feedback") || !event.submitter) return;
    event.preventDefault();
    const { submitter } = event;
    const isOn = submitter.getAttribute("aria-pressed") === "true";
    const body = new FormData(form);
    body.set("rating", isOn ? "" : submitter.value);
    try {
      await request(form.action, { method: "POST", body });
    } catch {
      return; // the thumb stays as it was
    }
    for (const button of form.querySelectorAll("button")) button.setAttribute("aria-pressed", "false");
    submitter.setAttribute("aria-pressed", String(!isOn));
  });
}
