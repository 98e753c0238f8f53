// An image that reports clicks: `value` becomes [row, column], in pixels of the image.
function render({ model, el }) {
  const frame = document.createElement("div");
  frame.style.cssText = "position: relative; max-width: 100%; cursor: crosshair";
  const image = document.createElement("img");
  image.style.cssText = "display: block; width: 100%; image-rendering: pixelated";
  image.alt = model.get("description");
  // A ring that is visible on any image and ignores clicks.
  const mark = document.createElement("div");
  mark.style.cssText =
    "position: absolute; width: 12px; height: 12px; transform: translate(-50%, -50%); box-sizing: border-box; " +
    "border: 2px solid white; border-radius: 50%; outline: 2px solid black; pointer-events: none";
  // The cell of a grid that contains the pixel.
  const cell = document.createElement("div");
  cell.style.cssText =
    "position: absolute; box-sizing: border-box; border: 2px solid white; outline: 1px solid black; " +
    "outline-offset: -3px; pointer-events: none";
  frame.append(image, mark, cell);
  el.append(frame);

  const place = () => {
    const [row, column] = model.get("value");
    const [tall, wide] = model.get("cell");
    cell.hidden = !tall;
    if (tall) {
      cell.style.top = `${(100 * (row - (row % tall))) / image.naturalHeight}%`;
      cell.style.left = `${(100 * (column - (column % wide))) / image.naturalWidth}%`;
      cell.style.height = `${(100 * tall) / image.naturalHeight}%`;
      cell.style.width = `${(100 * wide) / image.naturalWidth}%`;
    }
    mark.style.top = `${(100 * (row + 0.5)) / image.naturalHeight}%`;
    mark.style.left = `${(100 * (column + 0.5)) / image.naturalWidth}%`;
  };
  const pixel = (position, shown, natural) =>
    Math.min(natural - 1, Math.max(0, Math.floor((position * natural) / shown)));
  image.addEventListener("load", () => {
    // Small enough for a laptop's screen, with a figure below.
    frame.style.width = `${Math.min(512, (288 * image.naturalWidth) / image.naturalHeight)}px`;
    place();
  });
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
