// Builds src/ into built/: the same sources and lock file give the same bytes, which CI compares.
import { build } from "esbuild";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const HERE = dirname(fileURLToPath(import.meta.url));
const BUILT = process.argv[2] ?? join(HERE, "built");
// Built beside it and put in its place, so that a service that runs always finds whole files.
const OUT = `${BUILT}.new`;

// What the viewer needs beyond the rest: shims, files beside the scripts, separate workers.
const viewer = existsSync(join(HERE, "viewer.build.mjs")) ? await import("./viewer.build.mjs") : {};

const shared = {
  bundle: true,
  minify: true,
  format: "esm",
  target: ["es2022"],
  legalComments: "none",
  charset: "utf8",
  logLevel: "warning",
  absWorkingDir: HERE,
  metafile: true,
  ...viewer.options,
};

rmSync(OUT, { recursive: true, force: true });
mkdirSync(OUT, { recursive: true });
const results = [
  await build({
    ...shared,
    entryPoints: { main: "src/main.tsx", app: "src/styles/app.css", theme: "src/theme.ts" },
    splitting: true,
    outdir: OUT,
    entryNames: "[name]-[hash]",
    chunkNames: "[name]-[hash]",
    assetNames: "[name]-[hash]",
  }),
];
if (viewer.buildBeside) results.push(...(await viewer.buildBeside(shared, OUT)));

const outputs = Object.assign({}, ...results.map((one) => one.metafile.outputs));
const built = (entry) => {
  const found = Object.entries(outputs).find(([, one]) => one.entryPoint === entry);
  return basename(found[0]);
};
const page = readFileSync(join(HERE, "src/index.html"), "utf8")
  .replace("%MAIN%", built("src/main.tsx"))
  .replace("%THEME%", built("src/theme.ts"))
  .replace("%STYLE%", built("src/styles/app.css"));
writeFileSync(join(OUT, "index.html"), page);
writeFileSync(join(OUT, "LICENSES.txt"), licences(Object.assign({}, ...results.map((one) => one.metafile.inputs))));
writeFileSync(join(OUT, "chunks.json"), `${JSON.stringify(chunks(outputs), null, 1)}\n`);

// Which files each entry and page needs, for tests of the sizes.
function chunks(outputs) {
  const named = {};
  for (const [path, one] of Object.entries(outputs)) {
    if (path.endsWith(".map")) continue;
    const imports = one.imports
      .filter((other) => other.kind === "import-statement" && outputs[other.path])
      .map((other) => basename(other.path));
    const lazy = one.imports
      .filter((other) => other.kind === "dynamic-import" && outputs[other.path])
      .map((other) => basename(other.path));
    named[basename(path)] = { entry: one.entryPoint ?? null, imports, lazy };
  }
  return Object.fromEntries(Object.entries(named).sort(([a], [b]) => (a < b ? -1 : 1)));
}

// The licence of every package of which something is in the built files.
function licences(inputs) {
  const packages = new Set();
  for (const path of Object.keys(inputs)) {
    const found = /node_modules\/((?:@[^/]+\/)?[^/]+)/g;
    for (const match of path.matchAll(found)) packages.add(match[1]);
  }
  for (const name of viewer.packages ?? []) packages.add(name);
  const texts = [...packages].sort().map((name) => {
    const folder = join(HERE, "node_modules", name);
    const described = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    const file = readdirSync(folder).find((one) => /^(licen[cs]e|copying)/i.test(one));
    const ours = join(HERE, "licences", `${basename(name)}.txt`); // of packages that hold none
    const text = readFileSync(file ? join(folder, file) : ours, "utf8").trim();
    return `${name} ${described.version}: ${described.license}\n\n${text}\n`;
  });
  return texts.join(`\n${"-".repeat(80)}\n\n`);
}

const sum = createHash("sha256");
for (const name of readdirSync(OUT, { recursive: true }).map(String).sort()) {
  try {
    sum.update(name).update(readFileSync(join(OUT, name)));
  } catch (error) {
    if (error.code !== "EISDIR") throw error;
  }
}
rmSync(BUILT, { recursive: true, force: true });
renameSync(OUT, BUILT);
console.log(`built ${relative(process.cwd(), BUILT)}: ${sum.digest("hex").slice(0, 16)}`);
