// Gives the controls of an explorer accessible names, and marks the explorer while a figure is computed.
function render({ model, el }) {
  el.style.display = "none";
  let explorer = null;
  let removed = false;

  // ipywidgets labels lists and check boxes, but neither the handles of a slider nor its editable number.
  // This runs after every change in the page, also of a number.
  const name = () => {
    for (const label of explorer.querySelectorAll(".widget-label")) {
      const handles = label.parentElement.querySelectorAll(".noUi-handle");
      const ends = handles.length > 1 ? [", from", ", to"] : [""];
      handles.forEach((handle, index) => handle.setAttribute("aria-label", label.textContent + ends[index]));
      const number = label.parentElement.querySelector(".widget-readout");
      if (!number) continue;
      number.setAttribute("aria-label", `${label.textContent}, number`);
      number.setAttribute("role", "textbox");
      // otherwise read with all digits, such as -0.04999999999999999
      if (handles.length === 1) handles[0].setAttribute("aria-valuetext", number.textContent);
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
    observer.observe(explorer, { childList: true, subtree: true });
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
