// node fetch-event-source.cjs URL: npm's `@microsoft/fetch-event-source`, until the event `end`.
// It is made for browsers: Node needs stand-ins for the two globals that it looks at.
const { fetch } = require('./fetch.cjs')

globalThis.document = { hidden: false, addEventListener() {}, removeEventListener() {} }
globalThis.window = { setTimeout, clearTimeout, fetch }
const { fetchEventSource } = require('@microsoft/fetch-event-source')

const stop = new AbortController()

fetchEventSource(process.argv[2], {
  signal: stop.signal,
  openWhenHidden: true,
  onmessage({ id, event, data }) {
    console.log(JSON.stringify({ id, event: event || 'message', data }))
    if (event === 'end') stop.abort()
  },
})
