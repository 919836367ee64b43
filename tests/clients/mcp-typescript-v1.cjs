// node mcp-typescript-v1.cjs [URL TOOL RUN TO]...: clients on @modelcontextprotocol/sdk, as its users write them.
const { Client } = require('@modelcontextprotocol/sdk/client/index.js')
const { StreamableHTTPClientTransport } = require('@modelcontextprotocol/sdk/client/streamableHttp.js')
const { ResourceUpdatedNotificationSchema } = require('@modelcontextprotocol/sdk/types.js')

require('./mcp-typescript.cjs').run((url) => {
  const client = new Client({ name: 'v1', version: '1.0.0' })
  const transport = new StreamableHTTPClientTransport(url)
  const onUpdated = (handler) => client.setNotificationHandler(ResourceUpdatedNotificationSchema, handler)
  return { client, transport, onUpdated, call: (request, options) => client.callTool(request, undefined, options) }
})
