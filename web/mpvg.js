// Shows on a node what its step found: remembered words, past shots, finished takes, figures.
import { app } from "../../scripts/app.js";
import { showHistory } from "./history.js";
import { panelOf } from "./panel.js";
import { showSelection } from "./selection.js";
import { showTakes } from "./takes.js";
import { showText } from "./text.js";

// The part of a node's output that it shows, and how.
const SHOWN = {
  MPVG_TokenSelector: ["mpvg_selection", showSelection],
  MPVG_PromptHistory: ["mpvg_history", showHistory],
  MPVG_FilmStoryboard: ["mpvg_takes", showTakes],
  MPVG_SceneCuts: ["mpvg_text", showText],
  MPVG_ConsistencyReport: ["mpvg_text", showText],
  MPVG_DatasetBuilder: ["mpvg_text", showText],
};

app.registerExtension({
  name: "mpvg.findings",
  nodeCreated(node) {
    const shown = SHOWN[node.comfyClass];
    if (!shown) return;
    const [key, show] = shown;
    const before = node.onExecuted;
    node.onExecuted = function (output) {
      before?.apply(this, arguments);
      const found = output?.[key];
      if (found?.length) show(panelOf(this, key), found);
    };
  },
});
