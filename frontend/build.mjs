// Builds platform/meshwork/static/ from these sources and nothing else; two builds give the same bytes.
import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const modules = join(here, "node_modules");
const out = join(here, "../platform/meshwork/static");

const FONTS = { geist: ["latin", "latin-ext"], "geist-mono": ["latin"] };
const SHIPPED = [
  "@alpinejs/csp",
  "@fontsource-variable/geist",
  "@fontsource-variable/geist-mono",
  "daisyui",
  "fancy-canvas",
  "htmx.org",
  "lightweight-charts",
  "lucide-static",
  "tailwindcss",
  "uplot",
];

function styles() {
  const cli = join(modules, "@tailwindcss/cli/dist/index.mjs");
  execFileSync(process.execPath, [cli, "-i", "src/app.css", "-o", join(out, "app.css"), "--minify"], {
    cwd: here,
    stdio: ["ignore", "ignore", "inherit"],
  });
}

async function scripts() {
  await build({
    absWorkingDir: here,
    entryPoints: ["src/app.js", "src/chart.js", "src/trading.js"],
    bundle: true,
    format: "iife",
    minify: true,
    legalComments: "none",
    target: "es2022",
    outdir: out,
  });
}

function fonts() {
  mkdirSync(join(out, "fonts"), { recursive: true });
  for (const [family, subsets] of Object.entries(FONTS)) {
    for (const subset of subsets) {
      const file = join(modules, `@fontsource-variable/${family}/files/${family}-${subset}-wght-normal.woff2`);
      copyFileSync(file, join(out, `fonts/${family}-${subset}.woff2`));
    }
  }
}

function icons() {
  const names = JSON.parse(readFileSync(join(here, "icons.json"), "utf8"));
  const symbols = names.map((name) => {
    const svg = readFileSync(join(modules, `lucide-static/icons/${name}.svg`), "utf8");
    const shapes = svg.slice(svg.indexOf(">", svg.indexOf("<svg")) + 1, svg.lastIndexOf("</svg>"));
    return `<symbol id="${name}" viewBox="0 0 24 24">${shapes.replace(/\s+/g, " ").trim()}</symbol>`;
  });
  const sprite = `<svg xmlns="http://www.w3.org/2000/svg">\n${symbols.join("\n")}\n</svg>\n`;
  writeFileSync(join(out, "icons.svg"), sprite);
}

function licences() {
  const parts = SHIPPED.map((name) => {
    const folder = join(modules, name);
    const about = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    const kept = join(here, `licences/${name.replace("/", "-")}.txt`);
    const file = ["LICENSE", "LICENSE.md"].map((f) => join(folder, f)).find((f) => existsSync(f)) ?? kept;
    const notice = join(here, `licences/${name.replace("/", "-")}.notice.txt`);
    const texts = [file, notice].filter((f) => existsSync(f)).map((f) => readFileSync(f, "utf8").trim());
    return `${name} ${about.version} (${about.license})\n\n${texts.join("\n\n")}\n`;
  });
  writeFileSync(join(out, "THIRD_PARTY.txt"), parts.join(`\n${"-".repeat(72)}\n\n`));
}

mkdirSync(out, { recursive: true });
fonts();
icons();
licences();
copyFileSync(join(here, "src/favicon.svg"), join(out, "favicon.svg"));
await scripts();
styles();
