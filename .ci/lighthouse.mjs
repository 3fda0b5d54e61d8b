// Lighthouse on finished pages: accessibility and best practices, each at least 95 of 100.
// node .ci/lighthouse.mjs FOLDER_WITH_LIGHTHOUSE CHROMIUM FILE.html ...
import { spawn } from "node:child_process";
import { createServer } from "node:http";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { setTimeout as sleep } from "node:timers/promises";

const LEAST = 95, KINDS = ["accessibility", "best-practices"];
const FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
  "--disable-background-networking", "--disable-component-update", "--remote-debugging-port=0",
  "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"];
const [folder, chromium, ...files] = process.argv.slice(2);
const { default: lighthouse } = await import(pathToFileURL(resolve(folder, "node_modules/lighthouse/core/index.js")));

// Lighthouse refuses file: addresses, so the pages are served on loopback: /0 is the first file
const server = createServer((request, response) => {
  const file = files[Number(request.url.slice(1))];
  response.writeHead(file ? 200 : 404, { "content-type": "text/html; charset=utf-8" });
  response.end(file && readFileSync(file));
}).listen(0, "127.0.0.1");
const profile = mkdtempSync(join(tmpdir(), "lighthouse-"));
const browser = spawn(chromium, [...FLAGS, `--user-data-dir=${profile}`], { stdio: "ignore" });

async function port() {
  for (let tries = 0; tries < 300; tries++) {
    try { return Number(readFileSync(join(profile, "DevToolsActivePort"), "utf8").split("\n")[0]); } catch { await sleep(100); }
  }
  throw new Error(`${chromium} does not start`);
}

let bad = 0;
try {
  const options = { port: await port(), onlyCategories: KINDS, logLevel: "error" };
  for (const [number, file] of files.entries()) {
    const { lhr } = await lighthouse(`http://127.0.0.1:${server.address().port}/${number}`, options);
    const scores = KINDS.map(kind => Math.round(100 * lhr.categories[kind].score));
    const lost = KINDS.flatMap(kind => lhr.categories[kind].auditRefs)
      .filter(({ id, weight }) => weight > 0 && lhr.audits[id].score !== null && lhr.audits[id].score < 1).map(({ id }) => id);
    console.log(`${file}: ${KINDS.map((kind, i) => `${kind} ${scores[i]}`).join(", ")} ${lost.join(" ")}`);
    bad += !scores.every(score => score >= LEAST);
  }
} finally {
  const over = new Promise(done => browser.once("exit", done));
  browser.kill();
  await over;
  rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  server.close();
}
process.exit(bad ? 1 : 0);
