// An ordinary event stream server, as written on plain node:http. It knows nothing of resuming.
//
// GET /ticks   starts over for each request
// GET /feed    goes on whether or not anybody listens: who comes late gets what comes next
// GET /stats   how often a handler was started, the Last-Event-ID of each start, how many run now
//
// Parameters of a stream, with their defaults: n=40 events, then `event: end`; every_ms=20; seed=1 of the
// contents; crlf=1 for CRLF line endings; ids=1 for ids (a stream then goes on after Last-Event-ID);
// comments=1 for keepalives that stand alone; retry=100 for the clients' reconnection time.
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'

const WORDS = readFileSync(new URL('words.txt', import.meta.url), 'utf8').trimEnd().split('\n')

function mix(seed, i, k) {
  const x = (seed * 7919 + i * 104729 + k * 1299709) % 65521
  return (x * x) % 65521
}

// The lines of event i. The other server and the tests make the same ones.
function content(seed, i) {
  const lines = []
  for (let l = 0; l <= mix(seed, i, 0) % 3; l++) {
    const word = WORDS[mix(seed, i, l + 1) % WORDS.length]
    const times = mix(seed, i, l + 4) % 8 === 0 ? 60 : 3
    lines.push(`${i}.${l}` + ` ${word}`.repeat(times))
  }
  return lines
}

function frame(i, lines, options) {
  const named = i % 5 === 0 ? ['event: tick'] : []
  const id = options.ids ? [`id: ${i}`] : []
  return [...id, ...named, ...lines.map((line) => `data: ${line}`), '', ''].join(options.newline)
}

const stats = { started: 0, last_event_ids: [], open: 0 }
const feeds = new Map()

async function stream(request, response, url) {
  const parameter = (name, otherwise) => Number(url.searchParams.get(name) ?? otherwise)
  const options = { ids: parameter('ids', 0), newline: parameter('crlf', 0) ? '\r\n' : '\n' }
  const [n, every, seed] = [parameter('n', 40), parameter('every_ms', 20), parameter('seed', 1)]
  const lastEventId = request.headers['last-event-id'] ?? null
  stats.started += 1
  stats.last_event_ids.push(lastEventId)
  stats.open += 1
  response.on('close', () => (stats.open -= 1))

  const now = performance.now()
  let first = options.ids ? Number(lastEventId ?? 0) + 1 : 1
  let began = now - (first - 1) * every
  if (url.pathname === '/feed') {
    if (!feeds.has(url.search)) feeds.set(url.search, now)
    began = feeds.get(url.search)
    first = Math.ceil((now - began) / every) + 1
  }

  response.writeHead(200, { 'content-type': 'text/event-stream', 'access-control-allow-origin': '*' })
  response.write(`retry: ${parameter('retry', 100)}${options.newline.repeat(2)}`)
  for (let i = first; i <= n && !response.destroyed; i++) {
    await sleep(began + (i - 1) * every - performance.now())
    if (parameter('comments', 0) && i % 3 === 0) response.write(`: keepalive${options.newline.repeat(2)}`)
    response.write(frame(i, content(seed, i), options))
  }
  response.end(`event: end${options.newline}data: ${n}${options.newline.repeat(2)}`)
}

const server = createServer((request, response) => {
  const url = new URL(request.url, 'http://localhost')
  if (url.pathname === '/ticks' || url.pathname === '/feed') return stream(request, response, url)
  response.writeHead(url.pathname === '/stats' ? 200 : 404, { 'content-type': 'application/json' })
  response.end(JSON.stringify(stats))
})
server.listen(0, '127.0.0.1', () => console.log(`listening on http://127.0.0.1:${server.address().port}`))
