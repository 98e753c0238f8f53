// An image that reports clicks: `value` becomes [row, column], in pixels of the image.
function render({ model, el }) {
  const frame = document.createElement("div");
  frame.style.cssText = "position: relative; width: 100%; max-width: 512px; cursor: crosshair";
  const image = document.createElement("img");
  image.style.cssText = "display: block; width: 100%; image-rendering: pixelated";
  image.alt = model.get("description");
  // A ring that is visible on any image and ignores clicks.
  const mark = document.createElement("div");
  mark.style.cssText =
    "position: absolute; width: 12px; height: 12px; transform: translate(-50%, -50%); box-sizing: border-box; " +
    "border: 2px solid white; border-radius: 50%; outline: 2px solid black; pointer-events: none";
  frame.append(image, mark);
  el.append(frame);

  const place = () => {
    const [row, column] = model.get("value");
    mark.style.top = `${(100 * (row + 0.5)) / image.naturalHeight}%`;
    mark.style.left = `${(100 * (column + 0.5)) / image.naturalWidth}%`;
  };
  const pixel = (position, shown, natural) =>
    Math.min(natural - 1, Math.max(0, Math.floor((position * natural) / shown)));
  image.addEventListener("load", place);
  image.addEventListener("click", (event) => {
    const row = pixel(event.offsetY, image.clientHeight, image.naturalHeight);
    const column = pixel(event.offsetX, image.clientWidth, image.naturalWidth);
    model.set("value", [row, column]);
    model.save_changes();
  });
  model.on("change:value", place);
  image.src = URL.createObjectURL(new Blob([model.get("png")], { type: "image/png" }));
  return () => {
    model.off("change:value", place);
    URL.revokeObjectURL(image.src);
  };
}

export default { render };
