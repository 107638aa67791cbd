// Writes the widgets' bundles as JSON to stdout, {path: text}; run by bundle.py, which says what they are for.
import { readFileSync, readdirSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { build } from "esbuild";

const SOURCES = resolve("ddpm_lite/viz/js");
const OPTIONS = /** @type {const} */ ({
  absWorkingDir: process.cwd(), bundle: true, minify: true, charset: "utf8", target: "es2022", legalComments: "none", write: false,
  logLevel: "silent",
});

/** @param {import("esbuild").BuildOptions} options @returns {Promise<string>} */
const bundle = async (options) => (await build({ ...OPTIONS, ...options })).outputFiles?.[0].text ?? "";

// `import text from "worker:./worker.js"` gives the text of that module's own bundle.
/** @type {import("esbuild").Plugin} */
const workers = {
  name: "workers",
  setup: ({ onResolve, onLoad }) => {
    onResolve({ filter: /^worker:/ }, ({ path, resolveDir }) => ({ path: join(resolveDir, path.slice(7)), namespace: "worker" }));
    onLoad({ filter: /./, namespace: "worker" }, async ({ path }) => ({
      contents: await bundle({ entryPoints: [path], format: "iife" }),
      loader: "text",
    }));
  },
};

// On a page host.js has the kit; the other scripts of the page take it from there.
const KIT = join(SOURCES, "shared/kit.js"), every = Object.keys(await import(pathToFileURL(KIT).href)), names = every.join(", ");
/** @param {string[]} taken */
const shared = (taken) => {
  /** @type {import("esbuild").Plugin} */
  const plugin = {
    name: "shared kit",
    setup: ({ onResolve, onLoad }) => {
      onResolve({ filter: /\/kit\.js$/ }, () => ({ path: "kit", namespace: "shared" }));
      onLoad({ filter: /./, namespace: "shared" }, () => ({ contents: `export const { ${taken.join(", ")} } = window.ddpmWidgets.kit;` }));
    },
  };
  return plugin;
};

// A script of the page takes only the parts of the kit that its modules name; the first of two builds says which modules.
/** @param {import("esbuild").BuildOptions} options */
const lean = async (options) => {
  const all = { ...OPTIONS, ...options, format: /** @type {const} */ ("iife") };
  const { metafile } = await build({ ...all, plugins: [shared(every), workers], metafile: true });
  const text = Object.keys(metafile.inputs).filter((path) => path.startsWith("ddpm_lite/")).map((path) => readFileSync(path, "utf8")).join("");
  const taken = every.filter((name) => new RegExp(`\\bkit\\.${name}\\b`).test(text));
  return bundle({ ...all, plugins: [shared(taken), workers] });
};

const scripts = (/** @type {string} */ folder) => readdirSync(join(SOURCES, folder)).filter((name) => name.endsWith(".js")).sort();

/** @type {Record<string, string>} */
const made = {
  // A plain object of the kit's functions, because a namespace that is used as a value is longer by a getter for each.
  "page/host.js": await bundle({
    stdin: {
      contents: `import { ${names} } from ${JSON.stringify(KIT)}; import begin from "./page/host.js"; begin({ ${names} });`,
      resolveDir: SOURCES,
    },
    format: "iife",
  }),
  "page/press.js": await lean({ entryPoints: [join(SOURCES, "page/press.js")] }),
  "page/live/draw.js": await bundle({ entryPoints: [join(SOURCES, "page/draw.js")], format: "iife" }),
  "page/book/derive.js": await bundle({ entryPoints: [join(SOURCES, "page/derive.js")], format: "iife" }),
  "page/book/quick.js": await bundle({ entryPoints: [join(SOURCES, "page/quick.js")], format: "iife" }),
  "page/book/kept.js": await bundle({ entryPoints: [join(SOURCES, "page/kept.js")], format: "iife" }),
};
for (const folder of ["", "live/"]) {
  for (const file of scripts(folder)) {
    const path = join(SOURCES, folder, file), name = JSON.stringify(basename(file, ".js"));
    const contents = `import widget from ${JSON.stringify(path)}; window.ddpmWidgets.define(${name}, widget);`;
    const entry = { contents, resolveDir: process.cwd() };
    made[`page/${folder}${file}`] = await lean({ stdin: entry });
    made[`jupyter/${file}`] = await bundle({ entryPoints: [path], format: "esm", plugins: [workers] });
  }
}
process.stdout.write(JSON.stringify(made));
