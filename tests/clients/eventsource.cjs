// node eventsource.cjs URL: npm's `eventsource`, until the event `end`.
const { EventSource } = require('eventsource')
const { fetch } = require('./fetch.cjs')

const source = new EventSource(process.argv[2], { fetch })

for (const name of ['message', 'tick', 'resume-gap', 'end']) {
  source.addEventListener(name, (event) => {
    console.log(JSON.stringify({ id: event.lastEventId, event: event.type, data: event.data }))
    if (name === 'end') source.close()
  })
}
