// A panel at the foot of a node, made when there is something to show and never saved with the graph.
const HEIGHT = 240;

export function panelOf(node, name) {
  const there = node.widgets?.find((widget) => widget.name === name);
  if (there) return there.element;
  const panel = element("div", "mpvg-panel");
  panel.addEventListener("wheel", (event) => event.stopPropagation());
  node.addDOMWidget(name, "mpvg", panel, {
    serialize: false,
    hideOnZoom: false,
    getMinHeight: () => HEIGHT,
  });
  const [width, height] = node.computeSize();
  node.setSize([Math.max(node.size[0], width, 340), Math.max(node.size[1], height)]);
  return panel;
}

export function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text; // never as HTML: prompts are anyone's words
  return made;
}

export function address(file) {
  const query = new URLSearchParams({ filename: file.filename, subfolder: file.subfolder, type: file.type });
  return `${new URL("../../api/view", import.meta.url).href}?${query}`;
}

export function picture(file, className) {
  const made = element("img", className);
  made.src = address(file);
  return made;
}

const style = element(
  "style",
  "",
  `
.mpvg-panel { overflow: auto; font: 12px/1.45 system-ui, sans-serif; color: var(--input-text, #ddd);
  background: var(--comfy-input-bg, #222); border-radius: 6px; padding: 6px; box-sizing: border-box; }
.mpvg-row { display: flex; gap: 8px; align-items: flex-start; padding: 4px 0; }
.mpvg-row + .mpvg-row { border-top: 1px solid var(--border-color, #444); }
.mpvg-picture { width: 64px; height: 64px; object-fit: cover; border-radius: 4px; image-rendering: pixelated; flex: none; }
.mpvg-faint { opacity: 0.65; }
.mpvg-note { color: #e0b050; }
.mpvg-kept { background: #2f6f4f; color: #fff; border-radius: 3px; padding: 0 3px; }
.mpvg-kept sub { opacity: 0.85; padding-left: 3px; }
.mpvg-strip { display: flex; gap: 8px; overflow-x: auto; }
.mpvg-card { width: 104px; flex: none; }
.mpvg-text { margin: 0; font: 11px/1.5 ui-monospace, monospace; user-select: text; }
.mpvg-card .mpvg-picture { width: 104px; height: 104px; }
`,
);
document.head.append(style);
