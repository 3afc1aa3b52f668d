// Opens the documentation page in headless Chromium and fails unless it shows the operations
// without any request to another host. Told by the environment: URL, CHROMIUM.
import { chromium } from "playwright-core";

const origin = new URL(process.env.URL).origin;
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM,
  args: ["--no-sandbox", "--disable-background-networking"],
});
const page = await browser.newPage();
const asked = [];
const faults = [];
page.on("request", (request) => asked.push(request.url()));
page.on("pageerror", (error) => faults.push(String(error)));
page.on("console", (line) => line.type() === "error" && faults.push(line.text()));
await page.goto(`${origin}/docs`);
await page.waitForSelector(".opblock", { timeout: 120_000 });
const shown = await page.locator(".opblock-summary-path").allTextContents();
const contract = await (await fetch(`${origin}/openapi.json`)).json();
const methods = ["get", "put", "post", "delete", "patch"];
const operations = Object.values(contract.paths).flatMap((path) =>
  Object.keys(path).filter((name) => methods.includes(name)),
);
await page.locator(".opblock-summary").first().click();
await page.waitForSelector(".opblock-body", { timeout: 120_000 });
await browser.close();

const elsewhere = asked.filter((url) => !url.startsWith("data:") && new URL(url).origin !== origin);
console.log(JSON.stringify({ requests: asked.length, elsewhere, faults, shown: shown.length }));
if (elsewhere.length || faults.length || shown.length !== operations.length) {
  process.exitCode = 1;
}
