import { basename, dirname } from "node:path"
import type { Disk, DiskFile, FileStat, OpenForWriting } from "../../src/storage/disk/Disk.ts"
import { DiskFault, diskFault, type DiskOperation } from "../../src/storage/disk/DiskFault.ts"
import { systemTimers } from "../../src/shared/Timers.ts"
import { beside } from "./FilesBeside.ts"
import { type Leftovers, MemoryDirectory, MemoryFile, type MemoryNode, statOf } from "./MemoryTree.ts"

/** One call, counted from 1 on since the disk was made. */
export interface DiskCall {
  readonly number: number
  readonly operation: DiskOperation
  readonly path: string
}

/** Which calls a fault meets: all that fit, from the `nth` of them on, `times` of them (for ever when absent). */
export interface Meeting {
  readonly operation?: DiskOperation | ReadonlyArray<DiskOperation>
  readonly path?: RegExp
  readonly nth?: number
  readonly times?: number
}

interface Rule {
  readonly meets: (call: DiskCall) => boolean
  /** It meets no more calls, and holds none. */
  readonly isOver: () => boolean
  readonly end: () => void
  readonly fate:
    | { readonly _tag: "Fail"; readonly code: string }
    | { readonly _tag: "Stall"; readonly until: Promise<void> }
    | { readonly _tag: "Do"; readonly work: () => void }
}

interface Fault {
  /** How many calls it has met. */
  readonly hits: () => number
  /** It meets no more calls; those that it has stalled go on. */
  readonly end: () => void
}

const codes: Readonly<Record<string, true>> = { ENOSPC: true, EDQUOT: true }
const growing: ReadonlySet<DiskOperation> = new Set(["write", "create", "make"])

/** For one who is dead nothing ever completes. */
const never = new Promise<never>(() => {})

/** A process that uses a disk: runs `work` now, or once the process goes on, or, if it is dead, never. */
export interface DiskUser {
  readonly through: (work: () => void) => void
}

const alwaysRunning: DiskUser = { through: (work) => work() }

/** Who calls, and since which power cut it has the disk. */
interface Caller {
  readonly power: number
  readonly user: DiskUser
}

/**
 * A disk in memory that fails as disks do. It keeps what was not synced apart: contents of files until they are, and names
 * until their directory is. Of a file whose sync has failed, a later sync keeps only what was written anew. What stands below one of the `real` directories is on the machine's own disk, and no fault
 * meets it: SQLite opens its files itself.
 */
export class FaultyDisk {
  /** It is there from the beginning, and stays. */
  static readonly directory = "/data"
  private readonly root = new MemoryDirectory()
  private readonly real: ReadonlyArray<string>
  private rules: Array<Rule> = []
  private power = 0
  private count = 0
  private met = 0
  /** Nothing can be written, nor any file be made. */
  isFull = false
  /** Calls so far, where a test wants to know all places that can fail. */
  readonly calls: Array<DiskCall> = []
  /** The turns that a call takes: others run in between. */
  turn: () => Promise<void> = () => new Promise((resolve) => setImmediate(resolve))

  constructor(real: ReadonlyArray<string> = []) {
    this.real = real
    this.root.change({
      removed: [],
      added: { name: basename(FaultyDisk.directory), node: new MemoryDirectory() }
    })
    this.root.beginSync()()
  }

  /**
   * The disk, as processes see it that run until the next power cut. A process that is stopped (`user`) makes no call and
   * hears of none, but those that it has made are carried out.
   */
  mount(user: DiskUser = alwaysRunning): Disk {
    return new MountedDisk(this, { power: this.power, user })
  }

  /** So many calls have met some fault: what was asked meanwhile may have been refused for it. */
  get hits(): number {
    return this.met
  }

  /** There is a fault that meets calls now, or will. */
  get isFaulty(): boolean {
    return this.isFull || this.rules.some((rule) => !rule.isOver())
  }

  /** All faults are over. */
  heal(): void {
    this.isFull = false
    for (const { end } of this.rules) end()
  }

  /** Names in a directory, at this moment: as processes see them, or as they will be after a power cut. */
  namesIn(path: string, view: "seen" | "durable"): ReadonlyArray<string> {
    const found = this.find(path, view)
    return found instanceof MemoryDirectory ? [...found.namesIn(view).keys()] : []
  }

  /** The content of a file, at this moment: as processes see it, or as it will be after a power cut. */
  contentOf(path: string, view: "seen" | "durable"): Buffer | undefined {
    const found = this.find(path, view)
    return found instanceof MemoryFile ? found.content(view) : undefined
  }

  /**
   * Everything that was not durable is gone, and everybody who has mounted the disk is dead: none of their calls completes
   * any more. `leftovers` decides whether some of it was written all the same.
   */
  powerCut(leftovers: Leftovers = "nothing"): void {
    this.power++
    this.rules = []
    this.isFull = false
    this.root.lose(leftovers)
  }

  fail(meeting: Meeting, code = "EIO"): Fault {
    return this.rule(meeting, { _tag: "Fail", code })
  }

  /** The calls wait until the fault is ended; then they are carried out. */
  stall(meeting: Meeting): Fault {
    const { promise, resolve } = Promise.withResolvers<void>()
    return this.rule(meeting, { _tag: "Stall", until: promise }, resolve)
  }

  /** Does something of the test's own before a call is carried out. */
  before(meeting: Meeting, work: () => void): Fault {
    return this.rule(meeting, { _tag: "Do", work })
  }

  private rule(meeting: Meeting, fate: Rule["fate"], ended = () => {}): Fault {
    let seen = 0
    let hits = 0
    const { nth = 1, path, times = Infinity } = meeting
    const operations = meeting.operation === undefined ? undefined : [meeting.operation].flat()
    const rule: Rule = {
      fate,
      meets: (call) => {
        if (operations?.includes(call.operation) === false || path?.test(call.path) === false) return false
        if (++seen < nth || hits >= times) return false
        hits++
        this.met++
        return true
      },
      isOver: () => hits >= times && fate._tag !== "Stall",
      end: () => {
        this.rules = this.rules.filter((other) => other !== rule)
        ended()
      }
    }
    this.rules.push(rule)
    return { hits: () => hits, end: rule.end }
  }

  isReal(path: string): boolean {
    return this.real.some((directory) => path === directory || path.startsWith(`${directory}/`))
  }

  /** Meets the faults that are due, before a call that cannot wait. */
  meet({ power }: Caller, operation: DiskOperation, path: string): ReadonlyArray<Promise<void>> {
    if (power !== this.power) throw diskFault(operation, path, { code: "EIO" })
    const call: DiskCall = { number: ++this.count, operation, path }
    this.calls.push(call)
    const stalls: Array<Promise<void>> = []
    for (const { fate, meets } of this.rules) {
      if (!meets(call)) continue
      if (fate._tag === "Fail") throw refusal(fate.code, operation, path)
      if (fate._tag === "Stall") stalls.push(fate.until)
      else fate.work()
    }
    if (power !== this.power) throw diskFault(operation, path, { code: "EIO" })
    if (this.isFull && growing.has(operation)) {
      this.met++
      throw refusal("ENOSPC", operation, path)
    }
    return stalls
  }

  /** Carries out a call: faults, then some time, then its effect, then some time until the caller hears of it. */
  async call<A>(
    caller: Caller,
    operation: DiskOperation,
    path: string,
    work: () => A,
    refused?: (fault: DiskFault) => void
  ): Promise<A> {
    await this.running(caller)
    let stalls: ReadonlyArray<Promise<void>>
    try {
      stalls = this.meet(caller, operation, path)
    } catch (error) {
      if (this.isDead(caller)) return never
      if (error instanceof DiskFault) refused?.(error)
      await this.turn()
      await this.running(caller)
      throw error
    }
    for (const stall of stalls) await stall
    return this.carryOut(caller, work)
  }

  /** No fault meets it. */
  async carryOut<A>(caller: Caller, work: () => A): Promise<A> {
    await this.running(caller)
    await this.turn()
    if (this.isDead(caller)) return never
    const result = work()
    await this.turn()
    await this.running(caller)
    return result
  }

  /** The power may go after a sync has been carried out and before it is told: then it has not ended, and nobody hears of it. */
  endSync(caller: Caller, end: () => void): Promise<void> {
    if (this.isDead(caller)) return never
    end()
    return Promise.resolve()
  }

  private isDead({ power }: Caller): boolean {
    return power !== this.power
  }

  private running(caller: Caller): Promise<void> {
    return new Promise((resolve) =>
      caller.user.through(() => {
        if (!this.isDead(caller)) resolve()
      })
    )
  }

  /** Every name with number, size and time of what it stands for. */
  listing(path = FaultyDisk.directory): ReadonlyArray<string> {
    return this.namesIn(path, "seen").flatMap((name) => {
      const below = `${path}/${name}`
      const found = this.find(below)
      return found === undefined
        ? []
        : [`${below} ${found.ino} ${found.size} ${found.mtimeMs}`, ...this.listing(below)]
    })
  }

  find(path: string, view: "seen" | "durable" = "seen"): MemoryNode | undefined {
    let node: MemoryNode = this.root
    for (const name of path.split("/")) {
      if (name === "") continue
      const next: MemoryNode | undefined =
        node instanceof MemoryDirectory ? node.namesIn(view).get(name) : undefined
      if (next === undefined) return undefined
      node = next
    }
    return node
  }

  directory(operation: DiskOperation, path: string): MemoryDirectory {
    const found = this.find(path)
    if (found instanceof MemoryDirectory) return found
    throw refusal(found === undefined ? "ENOENT" : "ENOTDIR", operation, path)
  }

  file(operation: DiskOperation, path: string): MemoryFile | undefined {
    const found = this.find(path)
    if (found instanceof MemoryDirectory) throw refusal("EISDIR", operation, path)
    return found
  }

  openToWrite(path: string, how: OpenForWriting): MemoryFile {
    const operation = how === "existing" ? "open" : "create"
    const found = this.file(operation, path)
    if (found !== undefined) {
      if (how === "new") throw refusal("EEXIST", operation, path)
      if (how === "empty") found.cutOff()
      return found
    }
    if (how === "existing") throw refusal("ENOENT", operation, path)
    const node = new MemoryFile()
    node.mtimeMs = systemTimers.epochMillis()
    this.directory(operation, dirname(path)).change({ removed: [], added: { name: basename(path), node } })
    return node
  }
}

const refusal = (code: string, operation: DiskOperation, path: string): DiskFault =>
  diskFault(operation, path, Object.assign(new Error(`${code}: ${operation} ${path}`), { code }))

class OpenFile implements DiskFile {
  readonly path: string
  private readonly disk: FaultyDisk
  private readonly caller: Caller
  private readonly file: MemoryFile
  private isClosed = false

  constructor(disk: FaultyDisk, caller: Caller, path: string, file: MemoryFile) {
    this.disk = disk
    this.caller = caller
    this.path = path
    this.file = file
  }

  private call<A>(operation: DiskOperation, work: () => A, refused?: (fault: DiskFault) => void): Promise<A> {
    if (this.isClosed) return Promise.reject(refusal("EBADF", operation, this.path))
    return this.disk.call(this.caller, operation, this.path, work, refused)
  }

  read(into: Uint8Array, at: number, length: number, position: number): Promise<number> {
    return this.call("read", () => this.file.read(into, at, length, position))
  }

  write(bytes: Uint8Array, at: number, length: number, position: number): Promise<number> {
    const write = (count: number) => {
      this.file.write(bytes.subarray(at, at + count), position)
      this.file.mtimeMs = systemTimers.epochMillis()
      return count
    }
    return this.call(
      "write",
      () => write(length),
      // Some of it found room.
      (fault) => (codes[fault.code] === undefined ? 0 : write(length >>> 1))
    )
  }

  async sync(): Promise<void> {
    const end = await this.call(
      "sync",
      () => this.file.beginSync(),
      () => this.file.failSync()
    )
    return this.disk.endSync(this.caller, end)
  }

  stat(): Promise<FileStat> {
    return this.call("look at", () => statOf(this.file))
  }

  async close(): Promise<void> {
    if (this.isClosed) return
    this.isClosed = true
    await this.disk.turn()
  }
}

class MountedDisk implements Disk {
  readonly mayBeLate = false
  private readonly disk: FaultyDisk
  private readonly caller: Caller

  constructor(disk: FaultyDisk, caller: Caller) {
    this.disk = disk
    this.caller = caller
  }

  private call<A>(operation: DiskOperation, path: string, work: () => A): Promise<A> {
    return this.disk.call(this.caller, operation, path, work)
  }

  private beside<A>(work: () => A): Promise<A> {
    return this.disk.carryOut(this.caller, work)
  }

  prepare(): Promise<void> {
    return Promise.resolve()
  }

  open(path: string): Promise<DiskFile | undefined> {
    const { caller, disk } = this
    if (disk.isReal(path)) return this.beside(() => beside.open(path))
    return this.call("open", path, () => {
      const file = disk.file("open", path)
      return file === undefined ? undefined : new OpenFile(disk, caller, path, file)
    })
  }

  openToWrite(path: string, how: OpenForWriting): Promise<DiskFile> {
    const { caller, disk } = this
    if (disk.isReal(path)) return this.beside(() => beside.openToWrite(path, how))
    return this.call(
      how === "existing" ? "open" : "create",
      path,
      () => new OpenFile(disk, caller, path, disk.openToWrite(path, how))
    )
  }

  create(path: string): DiskFile {
    const { caller, disk } = this
    disk.meet(caller, "create", path)
    return new OpenFile(disk, caller, path, disk.openToWrite(path, "new"))
  }

  stat(path: string): Promise<FileStat | undefined> {
    if (this.disk.isReal(path)) return this.beside(() => beside.stat(path))
    return this.call("look at", path, () => {
      const found = this.disk.find(path)
      return found === undefined ? undefined : statOf(found)
    })
  }

  list(path: string): Promise<ReadonlyArray<string>> {
    if (this.disk.isReal(path)) return this.beside(() => beside.list(path))
    return this.call("list", path, () => {
      const found = this.disk.find(path)
      return found === undefined ? [] : [...this.disk.directory("list", path).names.keys()]
    })
  }

  makeDirectory(path: string): Promise<void> {
    if (this.disk.isReal(path)) return this.beside(() => beside.makeDirectory(path))
    return this.call("make", path, () => {
      const parent = this.disk.directory("make", dirname(path))
      if (parent.names.has(basename(path)) || path === "/") return
      parent.change({ removed: [], added: { name: basename(path), node: new MemoryDirectory() } })
    })
  }

  async syncDirectory(path: string): Promise<void> {
    if (this.disk.isReal(path)) return
    const end = await this.call("sync the names in", path, () =>
      this.disk.directory("sync the names in", path).beginSync()
    )
    return this.disk.endSync(this.caller, end)
  }

  rename(from: string, to: string): Promise<void> {
    return this.call("rename", from, () => {
      const node = this.disk.find(from)
      if (node === undefined) throw refusal("ENOENT", "rename", from)
      if (dirname(from) !== dirname(to)) throw new Error("a rename across directories is not made up here")
      const directory = this.disk.directory("rename", dirname(to))
      directory.change({ removed: [basename(from)], added: { name: basename(to), node } })
    })
  }

  remove(path: string): Promise<void> {
    if (this.disk.isReal(path)) return this.beside(() => beside.remove(path))
    return this.call("remove", path, () => this.unlink(path))
  }

  removeTree(path: string): Promise<void> {
    if (this.disk.isReal(path)) return this.beside(() => beside.remove(path))
    return this.call("remove", path, () => this.unlink(path))
  }

  private unlink(path: string): void {
    const parent = this.disk.find(dirname(path))
    if (parent instanceof MemoryDirectory && parent.names.has(basename(path)))
      parent.change({ removed: [basename(path)] })
  }

  checkAccess(path: string): Promise<void> {
    if (this.disk.isReal(path)) return this.beside(() => beside.checkAccess(path))
    return this.call("enter", path, () => {
      if (this.disk.find(path) === undefined) throw refusal("ENOENT", "enter", path)
    })
  }
}
