// Gives the controls of an explorer accessible names, and marks the explorer while a figure is computed.
function render({ model, el }) {
  el.style.display = "none";
  let explorer = null;
  let removed = false;

  // ipywidgets labels lists and check boxes, but neither the handles of a slider nor its editable number.
  const name = () => {
    for (const label of explorer.querySelectorAll(".widget-label")) {
      const handles = label.parentElement.querySelectorAll(".noUi-handle");
      const ends = handles.length > 1 ? [", from", ", to"] : [""];
      handles.forEach((handle, index) => handle.setAttribute("aria-label", label.textContent + ends[index]));
      const number = label.parentElement.querySelector(".widget-readout");
      number?.setAttribute("aria-label", `${label.textContent}, number`);
      number?.setAttribute("role", "textbox");
    }
  };
  const mark = () => explorer?.setAttribute("aria-busy", model.get("busy"));
  const observer = new MutationObserver(name);
  const attach = () => {
    explorer = el.closest(".ndic-explorer");
    if (!explorer) {
      if (!removed) requestAnimationFrame(attach); // not yet in the page
      return;
    }
    observer.observe(explorer, { childList: true, subtree: true }); // other controls may be created later
    name();
    mark();
  };
  model.on("change:busy", mark);
  attach();
  return () => {
    removed = true;
    observer.disconnect();
    model.off("change:busy", mark);
  };
}

export default { render };
