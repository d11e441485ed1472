import type { ChildProcess } from "node:child_process"

type Task = () => Promise<void> | void

const tasks: Array<Task> = []
const children = new Set<ChildProcess>()
let running: Promise<void> | undefined

/** Registers work for the end of the benchmark, however it ends; the latest is done first. Returns what does it now. */
export const onEnd = (task: Task): (() => Promise<void>) => {
  tasks.push(task)
  return async () => {
    const at = tasks.indexOf(task)
    if (at === -1) return
    tasks.splice(at, 1)
    await task()
  }
}

/** The child is killed when this process ends, whatever else happens. */
export const tracked = <C extends ChildProcess>(child: C): C => {
  children.add(child)
  child.once("exit", () => children.delete(child))
  return child
}

/** Does all registered work; a failure of one task does not keep the others from being done. */
export const cleanUp = (): Promise<void> => {
  running ??= (async () => {
    for (let task = tasks.pop(); task !== undefined; task = tasks.pop()) {
      try {
        await task()
      } catch (error) {
        process.stderr.write(`clean-up: ${String(error)}\n`)
      }
    }
  })().finally(() => {
    running = undefined
  })
  return running
}

/** Ctrl-C and SIGTERM end the benchmark in order; the last resort is to kill every child with this process. */
export const installSignalHandlers = (): void => {
  for (const name of ["SIGINT", "SIGTERM"] as const) {
    process.once(name, () => {
      process.stderr.write(`\n${name}: cleaning up\n`)
      void cleanUp().finally(() => process.exit(130))
    })
  }
  process.on("exit", () => {
    for (const child of children) {
      child.kill("SIGCONT")
      child.kill("SIGKILL")
    }
  })
}
