#!/usr/bin/env node
/**
 * The command. Loads the service with what was compiled by an earlier start of it, where that can be kept: compiling takes
 * more than half of a start. Nothing depends on it, and it may be deleted at any time.
 */
import { enableCompileCache } from "node:module"
import { join } from "node:path"

// Where packages keep what they can make again. Processes that this one starts are to find it, too.
process.env["NODE_COMPILE_CACHE"] ??= join(import.meta.dirname, "..", "node_modules", ".cache", "baton")
enableCompileCache()

await import("./command/Service.ts")
