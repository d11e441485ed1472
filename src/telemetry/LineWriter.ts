import * as fs from "node:fs"
import { Socket } from "node:net"
import { systemTimers } from "../shared/Timers.ts"

/** Writes lines in order without ever making the caller wait. */
export interface LineWriter {
  /** Takes a line, or drops it when the reader is too far behind; a later line says how many were dropped. */
  readonly offer: (line: string) => void
  /** Resolves when everything taken so far is written, or after `deadlineMillis` if the reader does not read. */
  readonly flush: (deadlineMillis: number) => Promise<void>
  /** Writes what is left, as far as the reader takes it at once. For the very end of the process. */
  readonly flushSync: () => void
}

interface LineWriterOptions {
  /** Lines that may wait for the reader. */
  readonly maxLines?: number
  /** Characters that they may have in all. */
  readonly maxCharacters?: number
}

const firstRetryMillis = 2
const longestRetryMillis = 50

/**
 * A writer to a file descriptor. Pipes, sockets and terminals are written to without blocking, since their reader may be
 * stuck (a paused terminal, a log collector that hangs), and neither the event loop nor the end of the process may wait
 * for it; a thread that writes would make the process unable to exit. What the reader has not taken is offered again
 * after a pause, and at most `maxLines` lines are kept meanwhile.
 */
export const makeLineWriter = (fd: number, options: LineWriterOptions = {}): LineWriter => {
  const maxLines = options.maxLines ?? 2_000
  const maxCharacters = options.maxCharacters ?? 4_000_000
  const target = openNonBlocking(fd)
  let lines: Array<string> = []
  let characters = 0
  let dropped = 0
  /** What the last attempt left unwritten: the rest of a line first of all. */
  let rest: Buffer = Buffer.alloc(0)
  let retryMillis = firstRetryMillis
  let scheduled = false
  let gone = false
  let idle: Array<() => void> = []

  /** Writes as much as the reader takes; true when nothing is left. */
  const drain = (): boolean => {
    while (!gone) {
      if (rest.length === 0) {
        if (dropped > 0) {
          lines.push(`(${dropped} log lines were dropped here: whatever reads this log is too slow)\n`)
          dropped = 0
        }
        if (lines.length === 0) return true
        rest = Buffer.from(lines.join(""))
        lines = []
        characters = 0
      }
      try {
        rest = rest.subarray(fs.writeSync(target, rest))
        retryMillis = firstRetryMillis
      } catch (error) {
        if (error instanceof Error && "code" in error && error.code === "EAGAIN") return false
        // EPIPE: the reader is gone for good. The service must go on without a log.
        gone = true
      }
    }
    lines = []
    rest = Buffer.alloc(0)
    return true
  }

  const run = (): void => {
    scheduled = false
    if (!drain()) {
      scheduled = true
      systemTimers.after(retryMillis, run)
      retryMillis = Math.min(retryMillis * 2, longestRetryMillis)
      return
    }
    const waiting = idle
    idle = []
    for (const resume of waiting) resume()
  }

  return {
    offer: (line) => {
      if (gone) return
      if (lines.length >= maxLines || characters >= maxCharacters) {
        dropped++
        return
      }
      lines.push(`${line}\n`)
      characters += line.length
      if (!scheduled) {
        // Lines of one turn of the event loop go out in one write.
        scheduled = true
        setImmediate(run)
      }
    },
    flush: (deadlineMillis) =>
      new Promise((resolve) => {
        if (!scheduled) return resolve()
        const stop = systemTimers.after(deadlineMillis, resolve)
        idle.push(() => {
          stop()
          resolve()
        })
      }),
    flushSync: () => {
      drain()
    }
  }
}

/** Keeps the sockets of `openNonBlocking` alive: collected as garbage, they would close the descriptor. */
const kept: Array<Socket> = []

/** The descriptor to write to, on which a write that would have to wait fails with EAGAIN instead. */
const openNonBlocking = (fd: number): number => {
  const stat = fs.fstatSync(fd)
  if (stat.isFIFO() || stat.isSocket()) {
    // Making a socket object is how Node can be told to switch a descriptor to non-blocking; nothing else is done with it.
    const socket = new Socket({ fd, readable: false, writable: true })
    socket.on("error", () => {})
    socket.unref()
    kept.push(socket)
    return fd
  }
  if (stat.isCharacterDevice()) {
    // A terminal is shared with the shell, which does not expect it non-blocking: opened anew, it is ours alone.
    try {
      return fs.openSync(
        `/dev/fd/${fd}`,
        fs.constants.O_WRONLY | fs.constants.O_NONBLOCK | fs.constants.O_NOCTTY
      )
    } catch {
      return fd
    }
  }
  return fd
}
