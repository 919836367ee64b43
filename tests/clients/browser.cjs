// node browser.cjs URL: `new EventSource(url)` in a page of a real browser, until the event `end`.
// The page has an origin of its own, so that every response needs its CORS headers, a resumed one too.
const { createServer } = require('node:http')
const { tmpdir } = require('node:os')
const puppeteer = require('puppeteer-core')

function page(url) {
  const source = new EventSource(url)
  for (const name of ['message', 'tick', 'resume-gap', 'end']) {
    source.addEventListener(name, (event) => {
      report(JSON.stringify({ id: event.lastEventId, event: event.type, data: event.data }))
      if (name === 'end') source.close()
    })
  }
}

async function main() {
  const server = createServer((_, response) => response.setHeader('content-type', 'text/html').end('<!doctype html>'))
  await new Promise((ready) => server.listen(0, '127.0.0.1', ready))
  const browser = await puppeteer.launch({
    executablePath: process.env.SSE_RESUME_CHROMIUM,
    headless: true,
    env: { ...process.env, HOME: tmpdir() }, // it writes there beside its profile
    pipe: true, // the browser ends with this process, however that ends
    args: [
      '--no-sandbox',
      '--ignore-certificate-errors', // `acceptInsecureCerts` would have it connect twice each time
      '--no-first-run',
      '--disable-quic',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--disable-gpu',
      '--disable-dev-shm-usage',
    ],
  })
  const tab = await browser.newPage()
  const ended = new Promise((end) =>
    tab.exposeFunction('report', (line) => {
      console.log(line)
      if (JSON.parse(line).event === 'end') end()
    }),
  )
  await tab.goto(`http://127.0.0.1:${server.address().port}/`)
  await tab.evaluate(page, process.argv[2])
  await ended
  await browser.close()
  server.close()
}

main()
