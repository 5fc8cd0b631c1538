// Help while a source is named: the kind that its beginning means.

/** Shows, of the kinds of sources, those that the name may become. */
export function watchSource() {
  const field = document.getElementById("source");
  const list = document.getElementById("kinds");
  if (!field || !list) return;
  const kinds = [...list.children];
  const show = () => {
    const typed = field.value.trim().split(":")[0].toLowerCase();
    const meant = kinds.filter((kind) => typed && kind.dataset.scheme.startsWith(typed));
    for (const kind of kinds) kind.classList.toggle("is-meant", meant.includes(kind));
    list.classList.toggle("is-narrowed", meant.length > 0);
  };
  field.addEventListener("input", show);
  show();
  for (const kind of kinds) {
    kind.querySelector("code").addEventListener("click", (event) => {
      if (!field.value) field.value = event.target.textContent;
      field.focus();
      show();
    });
  }
}
