#!/usr/bin/env node
/**
 * The installed command. Says so when Node is too old for this service, which would otherwise end in a stack trace: npm
 * only warns. So nothing is imported statically here.
 */
const needed = [22, 19] as const
const [major = 0, minor = 0] = process.versions.node.split(".").map(Number)

if (major < needed[0] || (major === needed[0] && minor < needed[1])) {
  process.stderr.write(
    `Baton needs Node.js ${needed.join(".")} or later, and this is ${process.versions.node}.\n`
  )
  process.exitCode = 1
} else await import("./main.ts")
