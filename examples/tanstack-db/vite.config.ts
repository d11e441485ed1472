import type { IncomingMessage, ServerResponse } from "node:http"
import { defineConfig } from "vite"
import { makeApi } from "./api.ts"

type Handler = (request: IncomingMessage, response: ServerResponse) => void

interface Server {
  readonly middlewares: { readonly use: (path: string, handler: Handler) => unknown }
}

const mount = (server: Server): void => {
  server.middlewares.use("/api", makeApi())
}

export default defineConfig({
  // Reads come from Baton. Writes go to this page's own API, which is part of the server that serves the page.
  plugins: [{ name: "api", configureServer: mount, configurePreviewServer: mount }]
})
