// The rules for every script of ours; `python tools/bundle.py --check` runs them.
import js from "@eslint/js";
import globals from "globals";

export default [
  { ignores: ["ddpm_lite/viz/bundles/", "_build/", ".venv/"] },
  js.configs.recommended,
  {
    languageOptions: { ecmaVersion: 2023, sourceType: "module", globals: globals.browser },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      eqeqeq: "error",
      "no-var": "error",
      "prefer-const": "error",
      "no-shadow": ["error", { builtinGlobals: false }],
      "no-unused-vars": ["error", { args: "all", argsIgnorePattern: "^_" }],
    },
  },
  // Sphinx's own, on the page of the search.
  { files: ["book/_ext/**/search.js"], languageOptions: { globals: { DOCUMENTATION_OPTIONS: "writable", Search: "readonly" } } },
  { files: ["tools/*.js", "book/_ext/**/*.mjs"], languageOptions: { globals: globals.node } },
];
