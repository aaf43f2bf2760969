// Opens pages in a headless chromium, in light and in dark, narrow and wide: no console error, no request to the
// outside, nothing wider than the window, and no serious or critical violation that axe-core finds. Pages of a server
// run their scripts: every chart and viewer that they offer is opened, and a click into a volume says what is there.
//
//     node pages.mjs CHROMIUM MODULES SCREENSHOTS FILE… [-- ADDRESS PAGE…]…

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
  // WebGL2 in software
  args: [
    "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--no-first-run",
    "--disable-background-networking", "--disable-sync",
  ],
});
const problems = [];

// Opens a page in every look; `open` leads a new tab to it, `ours` is how the addresses begin that it may ask for.
async function look(title, ours, open) {
  for (const [scheme, width] of [["light", 1200], ["dark", 1200], ["light", 390], ["dark", 390]]) {
    const name = `${title}-${scheme}-${width}`;
    const page = await browser.newPage();
    const note = (problem) => problems.push(`${name}: ${problem}`);
    page.on("console", (message) => message.type() === "error" && note(message.text()));
    page.on("pageerror", (error) => note(String(error)));
    page.on("request", (request) => {
      if (![ours, "data:", "blob:"].some((it) => request.url().startsWith(it))) note(`asks for ${request.url()}`);
    });
    await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
    await page.setViewport({ width, height: 900 });
    try {
      await open(page);
      if (!ours.startsWith("file:")) await openAll(page, note, join(screenshots, name));
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      if (overflow > 0) note(`${overflow} pixels wider than the window`);
      // the page's own policy lets no script in; the debugger does
      await page.evaluate(axe.source);
      const found = await page.evaluate(() => window.axe.run());
      for (const it of found.violations.filter((it) => ["serious", "critical"].includes(it.impact))) {
        note(`${it.id} (${it.impact}), ${it.nodes.length} times: ${it.nodes[0].html.slice(0, 200)}`);
      }
      await page.screenshot({ path: join(screenshots, `${name}.png`) });
    } catch (error) {
      note(String(error));
    }
    await page.close();
  }
}

// Opens what a served page offers: at most two of a kind, which are all of one recording.
async function openAll(page, note, screenshot) {
  const offers = await page.$$("button[aria-expanded]");
  const n_opened = { figure: 0, section: 0 };
  for (const button of offers) {
    const kind = await button.evaluate((it) => it.parentElement.localName);
    if (++n_opened[kind] > 2) continue;
    await button.click();
    const box = await button.evaluateHandle((it) => it.nextElementSibling);
    await page.waitForFunction((it) => it.querySelector("canvas, p:only-child"), { timeout: 20000 }, box);
    const canvas = await box.$("canvas");
    if (!canvas) {
      note(`${kind}: ${await box.evaluate((it) => it.textContent)}`);
    } else if (kind === "section") {
      await box.waitForSelector("label", { timeout: 20000 });
      // left of the middle, where one slice and the first of three both lie
      const { width, height } = await canvas.boundingBox();
      await canvas.click({ offset: { x: 0.4 * width, y: 0.5 * height } });
      const said = await box.$eval("[role=status]", (it) => it.textContent);
      if (!/[0-9]/.test(said)) note(`a click into the volumes says ${JSON.stringify(said)}`);
    }
    if (canvas) await box.screenshot({ path: `${screenshot}-${kind}-${n_opened[kind]}.png` });
  }
  return offers.length;
}

// A run that goes on is told on every page; that the page may be older, only on one that was written before it began.
async function lookAtRunning(open) {
  for (const [since, isOlder] of [["1970-01-01T00:00:00Z", false], ["9999-01-01T00:00:00Z", true]]) {
    const page = await browser.newPage();
    await page.evaluateOnNewDocument((since) => {
      window.EventSource = class {
        constructor() {
          const data = JSON.stringify({ is_running: true, since, words: "rest: running\nmore" });
          setTimeout(() => this.onmessage({ data }));
        }
        close() {}
      };
    }, since);
    try {
      await open(page);
      const said = await page.waitForSelector("main > p.live", { timeout: 10000 });
      const text = await said.evaluate((it) => it.textContent);
      const older = isOlder ? " This page may be of an earlier run." : "";
      if (text !== `rest: running.${older} How the run stands`) problems.push(`a run since ${since}: ${text}`);
    } catch (error) {
      problems.push(`a run since ${since}: ${error}`);
    }
    await page.close();
  }
}

const [files, ...served] = pages.join("\0").split("\0--\0").map((it) => it.split("\0"));
for (const path of files) {
  const title = `${basename(dirname(path))}-${basename(path, ".html")}`;
  await look(title, "file:", (page) => page.goto(pathToFileURL(path).href));
}
for (const [address, ...names] of served) {
  const run = async (page) => {
    await page.goto(address);
    await page.waitForFunction(() => location.pathname.includes("/run/"), { timeout: 10000 });
  };
  await lookAtRunning(run);
  for (const name of names) {
    await look(`served-${new URL(address).port}-${basename(name, ".html")}`, new URL(address).origin, async (page) => {
      await run(page);
      await page.goto(new URL(name, page.url()).href);
    });
  }
}
await browser.close();
if (problems.length > 0) {
  console.error(problems.join("\n"));
  process.exit(1);
}
