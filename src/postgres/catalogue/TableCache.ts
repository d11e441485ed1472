import type { TableName } from "../Identifiers.ts"
import { compareTables, type TableChange } from "./TableChange.ts"
import type { TableInfo } from "./TableInfo.ts"

interface Entry {
  readonly table: TableInfo
  /** Tick at which the look at the catalogue began that found this. */
  readonly seenAt: number
  /** Tick of the last doubt; an entry is fresh when it was seen after it. */
  readonly doubtedAt: number
}

/**
 * The Inspector's memory: tables by OID and by name, each with the moment it was seen at, in ticks of a logical clock.
 * Looks at the catalogue overlap; whatever order they end in, the one that began last wins, and a doubt that came up
 * while one was under way stays. Differences from what was known before are told to the listeners.
 */
export class TableCache {
  private readonly entries = new Map<number, Entry>()
  private readonly names = new Map<string, number>()
  private readonly listeners = new Set<(change: TableChange) => void>()
  private now = 0
  private list: ReadonlyArray<TableInfo> | undefined

  /** The moment a look at the catalogue begins. */
  tick(): number {
    return ++this.now
  }

  byOid(oid: number): TableInfo | undefined {
    return this.entries.get(oid)?.table
  }

  byName(name: TableName): TableInfo | undefined {
    const oid = this.names.get(nameKey(name))
    return oid === undefined ? undefined : this.byOid(oid)
  }

  isFresh(oid: number): boolean {
    const entry = this.entries.get(oid)
    return entry !== undefined && entry.seenAt > entry.doubtedAt
  }

  /** The same list as long as nothing in it is another. */
  all(): ReadonlyArray<TableInfo> {
    return (this.list ??= Array.from(this.entries.values(), (entry) => entry.table))
  }

  restore(tables: ReadonlyArray<TableInfo>): void {
    for (const table of tables) {
      if (this.entries.has(table.oid)) continue
      this.put({ table, seenAt: 0, doubtedAt: 0 })
    }
  }

  invalidate(oid: number): void {
    const entry = this.entries.get(oid)
    if (entry !== undefined) this.entries.set(oid, { ...entry, doubtedAt: ++this.now })
  }

  store(table: TableInfo, seenAt: number): void {
    const before = this.entries.get(table.oid)
    if (before !== undefined && before.seenAt > seenAt) return
    const doubtedAt = before?.doubtedAt ?? 0
    // What was made from the description stays good as long as nothing in it has changed.
    if (before !== undefined && JSON.stringify(before.table) === JSON.stringify(table)) {
      this.entries.set(table.oid, { table: before.table, seenAt, doubtedAt })
      return
    }
    this.put({ table, seenAt, doubtedAt })
    if (before === undefined) return
    const difference = compareTables(before.table, table)
    if (difference !== undefined)
      this.tell({ _tag: "Changed", before: before.table, after: table, difference })
  }

  storeAbsence(oid: number, seenAt: number): void {
    const before = this.entries.get(oid)
    if (before === undefined || before.seenAt > seenAt) return
    this.entries.delete(oid)
    this.list = undefined
    this.forgetName(before.table)
    this.tell({ _tag: "Vanished", before: before.table })
  }

  /** Returns what ends it. */
  listen(listener: (change: TableChange) => void): () => void {
    this.listeners.add(listener)
    return () => void this.listeners.delete(listener)
  }

  private put(entry: Entry): void {
    const before = this.entries.get(entry.table.oid)
    if (before !== undefined) this.forgetName(before.table)
    this.entries.set(entry.table.oid, entry)
    this.list = undefined
    this.names.set(nameKey(entry.table), entry.table.oid)
  }

  /** Unless the name has gone to another table meanwhile. */
  private forgetName(table: TableInfo): void {
    if (this.names.get(nameKey(table)) === table.oid) this.names.delete(nameKey(table))
  }

  private tell(change: TableChange): void {
    for (const listener of this.listeners) listener(change)
  }
}

const nameKey = ({ schema, name }: TableName): string => JSON.stringify([schema, name])
