// Checks that no layer imports from a layer above it: protocol < model < app.
import { readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";

const root = resolve(import.meta.dirname, "../src");
const order = ["protocol", "model", "app"];
const limit = 800;
const problems = [];

function* files(dir) {
  for (const name of readdirSync(dir)) {
    const path = join(dir, name);
    if (statSync(path).isDirectory()) yield* files(path);
    else if (/\.tsx?$/.test(name)) yield path;
  }
}

function layerOf(path) {
  return order.indexOf(relative(root, path).split("/")[0]);
}

for (const file of files(root)) {
  const text = readFileSync(file, "utf8");
  const name = relative(root, file);
  const lines = text.split("\n").length;
  if (lines > limit) problems.push(`${name}: ${lines} lines, at most ${limit}`);
  if (!text.startsWith("//")) problems.push(`${name}: starts without a comment that says what it is for`);
  const own = layerOf(file);
  for (const [, target] of text.matchAll(/(?:from|import)\s*\(?["']([^"']+)["']/g)) {
    if (target.startsWith(".")) {
      const other = layerOf(resolve(dirname(file), target));
      if (own >= 0 && other > own)
        problems.push(`${name}: ${order[own]} must not import ${order[other]} (${target})`);
    } else if (target.startsWith("preact") && own >= 0 && order[own] !== "app") {
      problems.push(`${name}: only app may import ${target}`);
    }
  }
}

for (const problem of problems) console.error(problem);
process.exit(problems.length === 0 ? 0 : 1);
