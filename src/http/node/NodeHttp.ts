/**
 * The parts of `node:http` that are used as values. Importing that module reads everything it exports, its WebSocket among
 * them, and so loads a whole HTTP client: 40 ms of a start and 14 MB, which this way does not take.
 */
export const { createServer, Server, ServerResponse } = process.getBuiltinModule("node:http")
