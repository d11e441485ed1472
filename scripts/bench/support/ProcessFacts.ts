import { readdirSync, readFileSync, writeFileSync } from "node:fs"

/** What the operating system knows about a process (Linux only: read from /proc). */

const status = (pid: number, field: string): number => {
  const line = readFileSync(`/proc/${pid}/status`, "latin1")
    .split("\n")
    .find((candidate) => candidate.startsWith(`${field}:`))
  return Number(line?.split(/\s+/)[1] ?? Number.NaN) * 1024
}

export const rssBytes = (pid: number): number => status(pid, "VmRSS")

/** RSS in which what several processes have in common counts for each as its part of it. */
export const proportionalBytes = (pid: number): number =>
  Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "latin1"))?.[1] ?? Number.NaN) * 1024

/** Highest RSS since the process started or `resetPeak` was called. */
export const peakRssBytes = (pid: number): number => status(pid, "VmHWM")

/** See proc(5), `/proc/<pid>/clear_refs`. */
export const resetPeak = (pid: number): void => writeFileSync(`/proc/${pid}/clear_refs`, "5")

export const openFiles = (pid: number): number => readdirSync(`/proc/${pid}/fd`).length

const cpuMillisIn = (file: string): number => {
  const stat = readFileSync(file, "latin1")
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
  // Fields 14 and 15 of proc(5), in ticks of 10 ms.
  return (Number(fields[11]) + Number(fields[12])) * 10
}

/** Processor time used so far, of all threads, in milliseconds. */
export const cpuMillis = (pid: number): number => cpuMillisIn(`/proc/${pid}/stat`)

/** The same of the thread in which the event loop runs. */
export const loopCpuMillis = (pid: number): number => cpuMillisIn(`/proc/${pid}/task/${pid}/stat`)

const processorTicks = () => {
  const fields =
    readFileSync("/proc/stat", "latin1").split("\n")[0]?.trim().split(/\s+/).slice(1).map(Number) ?? []
  const total = fields.slice(0, 8).reduce((a, b) => a + b, 0)
  return { total, idle: (fields[3] ?? 0) + (fields[4] ?? 0) }
}

/** Share of all processors that was busy since the previous call, 0 to 1: how quiet the machine is. */
export const makeLoadMeter = (): (() => number) => {
  let last = processorTicks()
  return () => {
    const now = processorTicks()
    const share = 1 - (now.idle - last.idle) / Math.max(1, now.total - last.total)
    last = now
    return share
  }
}
