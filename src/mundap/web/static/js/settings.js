// Copies a new token, which is shown only once.

for (const button of document.querySelectorAll(".copy-secret")) {
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById("secret").value);
    button.textContent = button.dataset.done;
  });
}
