import * as fs from "node:fs"

/** Writes lines in order without ever making the caller wait. */
export interface LineWriter {
  /** Takes a line, or drops it when the reader is too far behind; a later line says how many were dropped. */
  readonly offer: (line: string) => void
  /** Resolves when everything taken so far is written, or after `deadlineMillis` if the reader does not read. */
  readonly flush: (deadlineMillis: number) => Promise<void>
  /** Writes what is left at once. For the very end of the process; may lose lines if the reader does not read. */
  readonly flushSync: () => void
}

export interface LineWriterOptions {
  /** Lines that may wait for the reader. */
  readonly maxLines?: number
  /** Characters that they may have in all. */
  readonly maxCharacters?: number
}

const retryMillis = 20

/**
 * A writer to a file descriptor. `process.stdout` would block the whole process while the reader of a pipe is stuck;
 * this writes through the thread pool instead, one write at a time, and holds a bounded number of lines meanwhile.
 */
export const makeLineWriter = (fd: number, options: LineWriterOptions = {}): LineWriter => {
  const maxLines = options.maxLines ?? 2_000
  const maxCharacters = options.maxCharacters ?? 4_000_000
  let lines: Array<string> = []
  let characters = 0
  let dropped = 0
  /** Bytes handed to the system and not yet written. */
  let writing: Buffer | undefined
  let gone = false
  let idle: Array<() => void> = []

  const next = (): void => {
    if (dropped > 0 && !gone) {
      lines.push(`(${dropped} log lines were dropped here: whatever reads this log is too slow)\n`)
      dropped = 0
    }
    if (lines.length === 0) {
      writing = undefined
      const waiting = idle
      idle = []
      for (const resume of waiting) resume()
      return
    }
    writing = Buffer.from(lines.join(""))
    lines = []
    characters = 0
    write()
  }

  const write = (): void => {
    if (writing === undefined) return
    fs.write(fd, writing, (error, written) => {
      if (error === null) {
        writing = writing?.subarray(written)
        if (writing === undefined || writing.length === 0) next()
        else write()
      } else if (error.code === "EAGAIN") {
        setTimeout(write, retryMillis).unref()
      } else {
        // EPIPE: the reader is gone for good. The service must go on without a log.
        gone = true
        lines = []
        next()
      }
    })
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
      if (writing === undefined) {
        // Lines of one turn of the event loop go out in one write.
        writing = Buffer.alloc(0)
        setImmediate(next)
      }
    },
    flush: (deadlineMillis) =>
      new Promise((resolve) => {
        if (writing === undefined) return resolve()
        const timer = setTimeout(resolve, deadlineMillis)
        idle.push(() => {
          clearTimeout(timer)
          resolve()
        })
      }),
    flushSync: () => {
      if (gone || (writing !== undefined && writing.length > 0)) return
      try {
        if (lines.length > 0) fs.writeSync(fd, lines.join(""))
      } catch {
        // Nobody reads any more, and nobody is left to tell.
      }
      lines = []
    }
  }
}
