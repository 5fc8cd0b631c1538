// The entry: everything that a signed-in page does beyond its HTML.

import { watchAsking } from "./ask.js";
import { addCopyButtons } from "./code.js";
import { watchFeedback } from "./feedback.js";
import { watchCitations } from "./pane.js";
import { watchShelf } from "./shelf.js";

addCopyButtons(document);
watchCitations();
watchFeedback();
watchShelf();
watchAsking();
