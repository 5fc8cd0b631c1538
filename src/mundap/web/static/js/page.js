// The entry: everything that a signed-in page does beyond its HTML.

import { watchAsking } from "./ask.js";
import { watchCopying } from "./code.js";
import { watchForms } from "./forms.js";
import { watchPane } from "./pane.js";
import { watchShelf } from "./shelf.js";
import { watchSummaries } from "./summary.js";
import { adopt, messages, watchOtherTabs, watchStopping } from "./turns.js";

if (messages) adopt();
watchPane();
watchCopying();
watchForms();
watchShelf();
watchStopping();
watchSummaries();
watchOtherTabs();
watchAsking();
