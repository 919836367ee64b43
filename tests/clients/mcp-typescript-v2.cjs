// node mcp-typescript-v2.cjs [URL TOOL RUN TO]...: clients on @modelcontextprotocol/client, as its users write them.
const { Client, StreamableHTTPClientTransport } = require('@modelcontextprotocol/client')

require('./mcp-typescript.cjs').run((url) => {
  const client = new Client({ name: 'v2', version: '1.0.0' })
  const transport = new StreamableHTTPClientTransport(url)
  const onUpdated = (handler) => client.setNotificationHandler('notifications/resources/updated', handler)
  return { client, transport, onUpdated, call: (request, options) => client.callTool(request, options) }
})
