// What the viewer needs of the build: shims for what is only used in node, and the worker that decodes frames
// with its decoders in WebAssembly, as files of their own that are named by their content.
import { build } from "esbuild";
import { mkdirSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const HERE = dirname(fileURLToPath(import.meta.url));
const LOADER = join(HERE, "node_modules/@cornerstonejs/dicom-image-loader/dist/esm");
const WORKER = join(LOADER, "decodeImageFrameWorker.js");

// The decoders, by the names under which the worker asks for them.
const DECODERS = {
  "charlswasm_decode.wasm": "@cornerstonejs/codec-charls/dist/charlswasm_decode.wasm",
  "jpegxlwasm_decode.wasm": "@cornerstonejs/codec-libjxl/dist/jpegxlwasm_decode.wasm",
  "libjpegturbowasm_decode.wasm": "@cornerstonejs/codec-libjpeg-turbo-8bit/dist/libjpegturbowasm_decode.wasm",
  "openjpegwasm_decode.wasm": "@cornerstonejs/codec-openjpeg/dist/openjpegwasm_decode.wasm",
  "openjphjs.wasm": "@cornerstonejs/codec-openjph/dist/openjphjs.wasm",
};

// Emscripten's loaders ask for fs and path in node alone; xmlbuilder2 writes XML, which nothing here does.
const withoutNode = {
  name: "without-node",
  setup(one) {
    one.onResolve({ filter: /^(fs|path|module|xmlbuilder2)$/ }, (asked) => ({
      path: asked.path,
      namespace: "without-node",
    }));
    one.onLoad({ filter: /.*/, namespace: "without-node" }, () => ({ contents: "module.exports = {};" }));
  },
};

// In place of the loader's own module: decoders lie beside the worker, under names that hold their content.
const decodersBeside = {
  name: "decoders-beside",
  setup(one) {
    one.onLoad({ filter: /shared[\\/]wasmBasePath\.js$/ }, () => {
      const names = Object.keys(DECODERS);
      const imports = names.map((name, n) => `import file${n} from ${JSON.stringify(locate(name))};`);
      const table = names.map((name, n) => `${JSON.stringify(name)}: file${n}`);
      return {
        resolveDir: HERE,
        contents: `${imports.join("\n")}
          const files = {${table.join(",")}};
          export const setWasmBasePath = () => {};
          export const getWasmBasePath = () => undefined;
          export const setWasmBasePathFromConfig = () => {};
          export const resolveWasmUrl = (name) => new URL(files[name], import.meta.url).toString();`,
      };
    });
  },
};

function locate(name) {
  return join(HERE, "node_modules", DECODERS[name]);
}

let worker;

function buildWorker() {
  worker ??= build({
    bundle: true,
    minify: true,
    format: "esm",
    target: ["es2022"],
    legalComments: "none",
    charset: "utf8",
    logLevel: "warning",
    absWorkingDir: HERE,
    metafile: true,
    write: false,
    // OpenJPEG tells on the console what it reads; what fails is told by console.error and by the answer.
    banner: { js: "console.log = () => {};" },
    entryPoints: { decoder: WORKER },
    outdir: join(HERE, "built"),
    entryNames: "[name]-[hash]",
    assetNames: "[name]-[hash]",
    loader: { ".wasm": "file" },
    plugins: [withoutNode, decodersBeside],
  });
  return worker;
}

// `import decoder from "viewer:decoder"` is the name of the worker's file, beside the scripts.
const nameOfWorker = {
  name: "name-of-worker",
  setup(one) {
    one.onResolve({ filter: /^viewer:decoder$/ }, () => ({ path: "decoder", namespace: "viewer" }));
    one.onLoad({ filter: /.*/, namespace: "viewer" }, async () => {
      const { outputFiles } = await buildWorker();
      const file = outputFiles.find((each) => each.path.endsWith(".js"));
      return { contents: `export default ${JSON.stringify(basename(file.path))};` };
    });
  },
};

export const options = {
  define: { "process.env.NODE_ENV": '"production"' },
  plugins: [withoutNode, nameOfWorker],
};

export async function buildBeside(_shared, out) {
  const result = await buildWorker();
  mkdirSync(out, { recursive: true });
  for (const file of result.outputFiles) writeFileSync(join(out, basename(file.path)), file.contents);
  return [result];
}
