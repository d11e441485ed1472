#!/usr/bin/env node
/**
 * How the container image begins. Engines mount new volumes as root's, and manifests written for other images say nothing
 * of users. So the image starts as root, gives the storage directory to the user `node`, becomes that user, and then is
 * the service. An engine that starts it as somebody else (`runAsUser`, `--user`) is obeyed: nothing is given to anybody.
 */
import { chownSync, lchownSync, mkdirSync, readdirSync, statSync } from "node:fs"
import { join } from "node:path"

/** `node` in the official images of Node.js, by number: its name means nothing on other systems. */
const user = 1000

/** Where this service keeps its files below a storage directory. What others have left beside it stays theirs. */
const streamFolder = (process.env["ELECTRIC_REPLICATION_STREAM_ID"] ?? "default")
  .toLowerCase()
  .replaceAll(/[-.$]/g, "_")

/** Everything below as well: what an instance that ran as root has left there, its successors must be able to change. */
const giveTree = (directory: string): void => {
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name)
    if (entry.isDirectory()) giveTree(path)
    else lchownSync(path, user, user)
  }
  chownSync(directory, user, user)
}

/** A file system that has no owners (or squashes root) refuses; whether it can be written is found out at the start. */
const give = (directory: string): void => {
  try {
    mkdirSync(directory, { recursive: true })
    if (statSync(directory).uid !== user) chownSync(directory, user, user)
    const own = statSync(join(directory, streamFolder), { throwIfNoEntry: false })
    if (own !== undefined && own.uid !== user) giveTree(join(directory, streamFolder))
  } catch (error) {
    process.stderr.write(
      `The storage directory ${directory} cannot be given to user ${user}: ${error instanceof Error ? error.message : String(error)}\n`
    )
  }
}

if (process.getuid?.() === 0) {
  for (const variable of ["ELECTRIC_STORAGE_DIR", "ELECTRIC_SHAPE_DB_STORAGE_DIR"]) {
    const directory = process.env[variable] ?? (variable === "ELECTRIC_STORAGE_DIR" ? "persistent" : "")
    if (directory !== "" && directory !== ":memory:") give(directory)
  }
  process.setgroups?.([user])
  process.setgid?.(user)
  process.setuid?.(user)
}

await import("./main.ts")
