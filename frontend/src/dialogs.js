// <button command="show-modal" commandfor="id"> where the browser does not know it yet, and a click outside to close.

function invoke(event) {
  const button = event.target.closest?.("button[commandfor]");
  if (!button) return;
  const dialog = document.getElementById(button.getAttribute("commandfor"));
  if (button.getAttribute("command") === "show-modal" && !dialog.open) dialog.showModal();
  if (button.getAttribute("command") === "close") dialog.close();
}

function closeOutside(event) {
  if (event.target instanceof HTMLDialogElement && event.target.open) {
    const box = event.target.getBoundingClientRect();
    const inside =
      event.clientX >= box.left && event.clientX <= box.right && event.clientY >= box.top && event.clientY <= box.bottom;
    if (!inside) event.target.close();
  }
}

export function startDialogs() {
  if (!("commandForElement" in HTMLButtonElement.prototype)) document.addEventListener("click", invoke);
  document.addEventListener("pointerdown", closeOutside);
}
