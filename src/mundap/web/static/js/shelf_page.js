// The entry of the shelf's pages: everything that they do beyond their HTML.

import { watchShelf } from "./shelf.js";
import { watchSource } from "./sources.js";
import { watchUploads } from "./upload.js";

watchShelf();
watchSource();
watchUploads();
