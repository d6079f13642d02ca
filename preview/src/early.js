/** Runs before the first paint: a script of its own, because the pages' policy forbids scripts inside them. */

import { apply } from "./theme.js";

apply();
