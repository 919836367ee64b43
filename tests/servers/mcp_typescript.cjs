// node mcp_typescript.cjs [event-store]: an MCP server on the TypeScript SDK, as its documentation has it, with sessions.
// With an event store it has IDs and resumes by itself.
//
// POST GET DELETE /mcp             the server
// POST /step?run=X&times=1         lets the tool `count` of a run go on by so many steps
// POST /end?run=X                  ends the response of the call of `count`, which goes on; only with an event store
// POST /announce?run=X&text=T      tells sessions that called `subscribe` with this run: resource run://X/T changed
// GET  /tally?run=X                how often `count` was started, finished, cancelled
// GET  /finished?run=X             the same, once it has finished or was cancelled
//
// Tools: `count` {run, to} reports the progress 1, 2, … `to`, each after a step, and after one more step it
// answers; `subscribe` {run} answers at once. The other servers of the MCP tests have the same ones.
const { randomUUID } = require('node:crypto')
const { EventEmitter, once } = require('node:events')
const { createServer } = require('node:http')
const { Server } = require('@modelcontextprotocol/sdk/server/index.js')
const { StreamableHTTPServerTransport } = require('@modelcontextprotocol/sdk/server/streamableHttp.js')
const { CallToolRequestSchema, ListToolsRequestSchema } = require('@modelcontextprotocol/sdk/types.js')

class Run {
  tally = { started: 0, finished: 0, cancelled: 0 }
  sessions = []
  steps = 0
  changed = new EventEmitter().setMaxListeners(0)

  allow(steps) {
    this.steps += steps
    this.changed.emit('change')
  }

  async step(signal) {
    while (this.steps === 0) await once(this.changed, 'change', { signal })
    this.steps -= 1
  }

  count(what) {
    this.tally[what] += 1
    this.changed.emit('change')
  }

  async over() {
    while (this.tally.finished + this.tally.cancelled === 0) await once(this.changed, 'change')
  }
}

const runs = new Map()

function runOf(name) {
  if (!runs.has(name)) runs.set(name, new Run())
  return runs.get(name)
}

async function count(name, to, token, extra) {
  const run = runOf(name)
  run.end = extra.closeSSEStream
  run.count('started')
  try {
    for (let i = 1; i <= to; i++) {
      await run.step(extra.signal)
      const params = { progressToken: token, progress: i, message: `${name} ${i}` }
      await extra.sendNotification({ method: 'notifications/progress', params })
    }
    await run.step(extra.signal)
  } catch (error) {
    run.count('cancelled')
    throw error
  }
  run.count('finished')
  return `${name} counted to ${to}`
}

function mcp() {
  const capabilities = { tools: {}, resources: { subscribe: true } }
  const server = new Server({ name: 'counter', version: '1.0.0' }, { capabilities })
  const inputSchema = { type: 'object' }
  server.setRequestHandler(ListToolsRequestSchema, () => ({
    tools: [{ name: 'count', inputSchema }, { name: 'subscribe', inputSchema }],
  }))
  server.setRequestHandler(CallToolRequestSchema, async ({ params }, extra) => {
    const { run, to } = params.arguments
    if (params.name === 'subscribe') runOf(run).sessions.push(server)
    const text = params.name === 'count' ? await count(run, to, params._meta?.progressToken, extra) : 'subscribed'
    return { content: [{ type: 'text', text }] }
  })
  return server
}

// In order, which that of the SDK's examples is not for events of one millisecond.
class EventStore {
  events = []

  async storeEvent(stream, message) {
    return String(this.events.push({ stream, message }))
  }

  async getStreamIdForEventId(id) {
    return this.events[id - 1]?.stream
  }

  async replayEventsAfter(id, { send }) {
    const stream = await this.getStreamIdForEventId(id)
    for (let i = Number(id); i < this.events.length; i++) {
      if (this.events[i].stream === stream) await send(String(i + 1), this.events[i].message)
    }
    return stream
  }
}

const sessions = new Map()

async function serveMcp(request, response) {
  let transport = sessions.get(request.headers['mcp-session-id'])
  if (!transport && request.headers['mcp-session-id']) {
    response.writeHead(404).end()
    return
  }
  if (!transport) {
    transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      eventStore: process.argv[2] === 'event-store' ? new EventStore() : undefined,
      onsessioninitialized: (id) => sessions.set(id, transport),
      onsessionclosed: (id) => sessions.delete(id),
    })
    await mcp().connect(transport)
  }
  await transport.handleRequest(request, response)
}

async function control(url, response) {
  const run = runOf(url.searchParams.get('run'))
  if (url.pathname === '/step') run.allow(Number(url.searchParams.get('times') ?? 1))
  if (url.pathname === '/end') run.end()
  if (url.pathname === '/finished') await run.over()
  if (url.pathname === '/announce') {
    const uri = `run://${url.searchParams.get('run')}/${url.searchParams.get('text')}`
    for (const session of run.sessions) await session.sendResourceUpdated({ uri }).catch(console.error)
  }
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(run.tally))
}

const server = createServer((request, response) => {
  const url = new URL(request.url, 'http://localhost')
  const served = url.pathname === '/mcp' ? serveMcp(request, response) : control(url, response)
  served.catch((error) => {
    console.error(error)
    response.destroy()
  })
})
server.listen(0, '127.0.0.1', () => console.log(`listening on http://127.0.0.1:${server.address().port}`))
