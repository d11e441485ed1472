import { BoundedMap } from "../../shared/BoundedMap.ts"
import { spend } from "../values/Work.ts"
import { type ZoneTable, zoneTable } from "./ZoneTable.ts"

/** Where the evaluator looks time zones up, by their names in small letters. `undefined`: only Postgres knows the zone. */
export interface Zones {
  readonly find: (name: string) => ZoneTable | undefined
}

const mostTables = 1000

const tables = new BoundedMap<string, ZoneTable | "unknown">(mostTables)

/** What the runtime says, whatever Postgres would say. */
export const zonesOfRuntime: Zones = {
  find: (name) => {
    let table = tables.get(name)
    if (table === undefined) {
      spend(20_000)
      table = zoneTable(name) ?? "unknown"
      tables.set(name, table)
    }
    return table === "unknown" ? undefined : table
  }
}

/** For what is computed once and kept: Postgres may get other rules later. */
export const noZones: Zones = { find: () => undefined }

/** One evaluation runs at a time, so this is the state of the module. */
let current = zonesOfRuntime

/** The evaluator of a clause sets what zones there are. */
export const useZones = (zones: Zones): void => {
  current = zones
}

export const zoneInUse = (name: string): ZoneTable | undefined => current.find(name)

/** Names that wait for their table: clients may think of any number. */
const mostWanted = 100

/**
 * The zones in which Postgres and the runtime have the same rules. Each has an edition of the data of its own, and an older one
 * knows nothing of what a government has decided since. So a zone is unknown at first, until somebody has compared the two.
 */
export class CheckedZones implements Zones {
  private readonly tableOf: (name: string) => ZoneTable | undefined
  private verdicts = new BoundedMap<string, ZoneTable | "other">(mostTables)
  private readonly wanted = new Set<string>()
  private readonly underWay = new Set<string>()

  constructor(tableOf: (name: string) => ZoneTable | undefined = zonesOfRuntime.find) {
    this.tableOf = tableOf
  }

  readonly find = (name: string): ZoneTable | undefined => {
    const verdict = this.verdicts.get(name)
    if (verdict === undefined && !this.underWay.has(name) && this.wanted.size < mostWanted)
      this.wanted.add(name)
    return verdict === "other" ? undefined : verdict
  }

  /** Zones were looked for that nobody has compared. */
  get areWanted(): boolean {
    return this.wanted.size > 0
  }

  /** Another Postgres may answer from now on. */
  forget(): void {
    this.verdicts = new BoundedMap(mostTables)
    this.wanted.clear()
  }

  /** A zone that was looked for and has not been compared. Say `over` when that has ended, with or without a result. */
  next(): { readonly name: string; readonly table: ZoneTable } | undefined {
    for (const name of this.wanted) {
      this.wanted.delete(name)
      const table = this.tableOf(name)
      if (table === undefined) this.settle(name, undefined)
      else {
        this.underWay.add(name)
        return { name, table }
      }
    }
    return undefined
  }

  /** Without a result it is compared again when it is looked for again. */
  over(name: string): void {
    this.underWay.delete(name)
  }

  /** Postgres has the same rules, or (without a table) others. */
  settle(name: string, table: ZoneTable | undefined): void {
    this.verdicts.set(name, table ?? "other")
  }
}
