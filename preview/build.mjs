/** Bundles the pages into the given folder or `seeder/serve/assets/`, as flat files with relative links. */

import { createHash } from "node:crypto";
import { copyFile, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { ground } from "./ground.mjs";

const here = path.dirname(fileURLToPath(import.meta.url));
const target = path.resolve(process.argv[2] ?? path.join(here, "..", "seeder", "serve", "assets"));
const out = `${target}.new`; // replaces the target when complete
const maplibre = path.join(here, "node_modules", "maplibre-gl");
const GROUND_MOST = 120_000; // bytes
const source = (name) => path.join(here, "src", name);

await rm(out, { recursive: true, force: true });
await mkdir(out, { recursive: true });
await build({
  entryPoints: { preview: source("layer.js"), layers: source("layers.js") },
  outdir: out,
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  legalComments: "inline",
  logLevel: "warning",
});
await build({
  entryPoints: { early: source("early.js") },
  outdir: out,
  bundle: true,
  minify: true,
  format: "iife",
  target: "es2022",
  logLevel: "warning",
});
await build({
  entryPoints: { preview: source("layer.css"), layers: source("layers.css") },
  outdir: out,
  bundle: true,
  minify: true,
  target: ["chrome120", "firefox120", "safari17"],
  logLevel: "warning",
});
await copyFile(path.join(maplibre, "dist", "maplibre-gl-worker.mjs"), path.join(out, "maplibre-worker.js"));
const outlines = await ground();
if (outlines.length > GROUND_MOST) throw new Error(`the outlines of the world take ${outlines.length} bytes`);
await writeFile(path.join(out, "ground.bin"), outlines);
await copyFile(path.join(maplibre, "LICENSE.txt"), path.join(out, "maplibre-license.txt"));

// links to assets carry a hash of their content, so that browsers never mix two builds
for (const page of ["layer.html", "layers.html"]) {
  let text = await readFile(source(page), "utf8");
  for (const name of ["early.js", "preview.js", "preview.css", "layers.js", "layers.css"]) {
    const hash = createHash("sha256")
      .update(await readFile(path.join(out, name)))
      .digest("hex")
      .slice(0, 12);
    text = text.replaceAll(`"${name}"`, `"${name}?v=${hash}"`);
  }
  await writeFile(path.join(out, page), text);
}

await rm(target, { recursive: true, force: true });
await rename(out, target);
