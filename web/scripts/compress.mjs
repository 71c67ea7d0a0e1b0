// Writes a .gz and a .br beside each text file of the build, prints what the first load costs, and fails above
// the budget.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const budget = 300 * 1024;
const dist = resolve(import.meta.dirname, "../dist");
let gzipped = 0;
let brotlied = 0;
for (const entry of readdirSync(dist, { recursive: true, withFileTypes: true })) {
  if (!entry.isFile() || !/\.(html|js|css|svg|json|txt)$/.test(entry.name)) continue;
  const path = join(entry.parentPath, entry.name);
  const data = readFileSync(path);
  const gz = gzipSync(data, { level: 9 });
  const br = brotliCompressSync(data, { params: { [constants.BROTLI_PARAM_SIZE_HINT]: data.length } });
  writeFileSync(`${path}.gz`, gz);
  writeFileSync(`${path}.br`, br);
  gzipped += gz.length;
  brotlied += br.length;
}
const kib = (bytes) => (bytes / 1024).toFixed(1);
console.log(`first load: ${kib(gzipped)} KiB gzip, ${kib(brotlied)} KiB brotli, of ${budget / 1024} KiB`);
process.exit(gzipped <= budget ? 0 : 1);
