// node mcp-typescript-v1.cjs [URL TOOL RUN TO]...: clients on @modelcontextprotocol/sdk, as its users write them, all at once.
//
// `count` is called up to TO; after `subscribe` a client listens until resource run://RUN/end has changed.
const { Client } = require('@modelcontextprotocol/sdk/client/index.js')
const { StreamableHTTPClientTransport } = require('@modelcontextprotocol/sdk/client/streamableHttp.js')
const { ResourceUpdatedNotificationSchema } = require('@modelcontextprotocol/sdk/types.js')

async function main(url, tool, run, to, print) {
  const client = new Client({ name: 'v1', version: '1.0.0' })
  const transport = new StreamableHTTPClientTransport(new URL(url))
  client.onerror = (error) => console.error(run, error)
  const listened = new Promise((resolve) => {
    client.setNotificationHandler(ResourceUpdatedNotificationSchema, ({ params }) => {
      print({ updated: params.uri })
      if (params.uri.endsWith('/end')) resolve()
    })
  })
  await client.connect(transport)
  print({ connected: transport.protocolVersion })
  const onprogress = (progress) => print({ progress: progress.message })
  const result = await client.callTool({ name: tool, arguments: { run, to: Number(to) } }, undefined, { onprogress })
  print({ result: result.content[0].text })
  if (tool === 'subscribe') await listened
  await client.ping()
  print({ pong: true })
  await transport.terminateSession()
  await client.close()
}

const parameters = process.argv.slice(2)
const clients = []
while (parameters.length > 0) {
  const [url, tool, run, to] = parameters.splice(0, 4)
  const print = (line) => console.log(JSON.stringify({ run, ...line }))
  const client = main(url, tool, run, to, print).catch((error) => print({ error: String(error) }))
  clients.push(client.finally(() => print({ over: true })))
}
Promise.all(clients).then(() => process.exit())
