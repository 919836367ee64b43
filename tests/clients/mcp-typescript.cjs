// What the clients of both TypeScript SDKs do, once they are made: [URL TOOL RUN TO]..., all at once.
//
// `count` is called up to TO; after `subscribe` a client listens until resource run://RUN/end has changed.

// `connect(url)` makes a client, its transport, and `onUpdated(handler)` and `call(request, options)` in the SDK's own way.
async function main(connect, url, tool, run, to, print) {
  const { client, transport, onUpdated, call } = connect(new URL(url))
  client.onerror = (error) => console.error(run, error)
  const listened = new Promise((resolve) => {
    onUpdated(({ params }) => {
      print({ updated: params.uri })
      if (params.uri.endsWith('/end')) resolve()
    })
  })
  await client.connect(transport)
  print({ connected: transport.protocolVersion })
  const onprogress = (progress) => print({ progress: progress.message })
  const result = await call({ name: tool, arguments: { run, to: Number(to) } }, { onprogress })
  print({ result: result.content[0].text })
  if (tool === 'subscribe') await listened
  await client.ping()
  print({ pong: true })
  await transport.terminateSession()
  await client.close()
}

exports.run = (connect) => {
  const parameters = process.argv.slice(2)
  const clients = []
  while (parameters.length > 0) {
    const [url, tool, run, to] = parameters.splice(0, 4)
    const print = (line) => console.log(JSON.stringify({ run, ...line }))
    const client = main(connect, url, tool, run, to, print).catch((error) => print({ error: String(error) }))
    clients.push(client.finally(() => print({ over: true })))
  }
  Promise.all(clients).then(() => process.exit())
}
