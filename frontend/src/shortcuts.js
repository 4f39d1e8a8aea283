// Keys: "/" goes to the search field, "?" shows the list.

function typing(target) {
  return target.isContentEditable || /^(input|select|textarea)$/i.test(target.tagName);
}

export function startShortcuts() {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    const search = document.querySelector("[data-search]");
    const help = document.getElementById("shortcuts");
    if (event.key === "/" && search) {
      event.preventDefault();
      search.focus();
    } else if (event.key === "?" && help && !help.open) {
      event.preventDefault();
      help.showModal();
    }
  });
}
