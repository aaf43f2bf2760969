// Opens pages in a headless chromium, in light and in dark, narrow and wide: no console error, no request to the
// outside, nothing wider than the window, and no serious or critical violation that axe-core finds.
//
//     node pages.mjs CHROMIUM MODULES SCREENSHOTS PAGE…

import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, delimiter, dirname, join } from "node:path";
import { pathToFileURL } from "node:url";

const [chromium, modules, screenshots, ...pages] = process.argv.slice(2);
const require = createRequire(join(modules, "x.js"));
const axe = require("axe-core");
const puppeteer = require("puppeteer-core");

const browser = await puppeteer.launch({
  executablePath: process.env.PATH.split(delimiter).map((dir) => join(dir, chromium)).find(existsSync),
  args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"],
});
const problems = [];
for (const path of pages) {
  for (const [scheme, width] of [["light", 1200], ["dark", 1200], ["light", 390], ["dark", 390]]) {
    const name = `${basename(dirname(path))}-${basename(path, ".html")}-${scheme}-${width}`;
    const page = await browser.newPage();
    const note = (problem) => problems.push(`${name}: ${problem}`);
    page.on("console", (message) => message.type() === "error" && note(message.text()));
    page.on("pageerror", (error) => note(String(error)));
    page.on("request", (request) => {
      const url = request.url();
      if (!url.startsWith("file:") && !url.startsWith("data:")) note(`asks for ${url}`);
    });
    await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
    await page.setViewport({ width, height: 900 });
    await page.goto(pathToFileURL(path).href);
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    if (overflow > 0) note(`${overflow} pixels wider than the window`);
    // the page's own policy lets no script in; the debugger does
    await page.evaluate(axe.source);
    const found = await page.evaluate(() => window.axe.run());
    for (const it of found.violations.filter((it) => ["serious", "critical"].includes(it.impact))) {
      note(`${it.id} (${it.impact}), ${it.nodes.length} times: ${it.nodes[0].html.slice(0, 200)}`);
    }
    await page.screenshot({ path: join(screenshots, `${name}.png`) });
    await page.close();
  }
}
await browser.close();
if (problems.length > 0) {
  console.error(problems.join("\n"));
  process.exit(1);
}
