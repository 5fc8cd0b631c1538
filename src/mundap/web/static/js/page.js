// The entry: everything that a signed-in page does beyond its HTML.

import { watchAsking } from "./ask.js";
import { watchCopying } from "./code.js";
import { forgetDraftsAtLogout } from "./draft.js";
import { watchForms } from "./forms.js";
import { watchCitations } from "./pane.js";
import { watchShelf } from "./shelf.js";
import { adopt, messages, watchOtherTabs, watchStopping } from "./turns.js";

if (messages) adopt();
watchCitations();
watchCopying();
watchForms();
watchShelf();
watchStopping();
watchOtherTabs();
watchAsking();
forgetDraftsAtLogout();
