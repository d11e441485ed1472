/**
 * What it takes to know what sub-selects give: `node --expose-gc scripts/bench/membership.ts [sub-selects]`. Prints one table. Times
 * are those of the processor, without what others take from it.
 */
import { setImmediate } from "node:timers/promises"
import { MembershipState } from "../../src/membership/MembershipState.ts"
import { emptyLink, subselectKind } from "../../src/where/index.ts"
import { tupleOf } from "../../testing/TupleOf.ts"

const links = 20

const collect = (globalThis as { readonly gc?: () => void }).gc
if (collect === undefined) throw new Error("memory is told only with --expose-gc")

const heldBytes = (): number => {
  collect()
  collect()
  const { arrayBuffers, heapUsed } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

const processorMicros = (): number => process.cpuUsage().user

const report = (what: string, value: number, unit: string): void => {
  console.log(`  ${what.padEnd(60)} ${value >= 100 ? value.toFixed(0) : value.toFixed(2)} ${unit}`)
}

/** Of one run, after some that do not count. */
const micros = (runs: number, run: (i: number) => void): number => {
  for (let i = 0; i < 2000; i++) run(i)
  const began = processorMicros()
  for (let i = 0; i < runs; i++) run(i)
  return (processorMicros() - began) / runs
}

/** `SELECT project FROM members WHERE usr = $1` for so many users, each with 20 projects that so many others have too. */
const measure = (users: number, sharing: number, type: "int4" | "uuid"): void => {
  console.log(`${users} sub-selects, ${links} values each (${type}), of which ${sharing} have each`)
  const columns = [
    { name: "usr", typeOid: 23, type: "int4" as const },
    { name: "project", typeOid: type === "int4" ? 23 : 2950, type }
  ]
  const kind = subselectKind({
    table: { oid: 1, schema: "public", name: "members" },
    plan: { columns, constants: ["int4"], root: { f: "int4eq", a: [{ c: 0 }, { k: 0 }] } },
    group: [],
    select: [{ c: 1 }],
    keys: [{ type, collation: "c" }]
  })
  const projects = (users * links) / sharing
  const projectOf = (user: number, i: number): number => ((user * links + i) * 7919) % projects
  const textOf = (project: number): string =>
    type === "int4"
      ? String(project)
      : `${(Math.imul(project, 0x9e3779b1) >>> 0).toString(16).padStart(8, "0")}-0000-4000-8000-${String(project).padStart(12, "0")}`
  const keyOf = (project: number): unknown => (type === "int4" ? project : textOf(project))
  const constants = Array.from({ length: users }, (_, user) => JSON.stringify([String(user)]))

  // The one before is let go of: what conditions ask is remembered.
  new MembershipState().useBefore()
  const before = heldBytes()
  const state = new MembershipState()
  const target = state.target(1, columns)
  const subscriptions = constants.flatMap((one) => state.subscribe(kind, one))
  const subscribed = heldBytes()
  const loading = state.load(subscriptions)
  const loaded = loading.target(1, columns)
  const began = processorMicros()
  for (let i = 0; i < links; i++)
    for (let user = 0; user < users; user++)
      loading.add(loaded, tupleOf([String(user), textOf(projectOf(user, i))]))
  loading.finish()
  report("loading, per row", (processorMicros() - began) / (users * links), "µs")
  const after = heldBytes()
  report("memory of a sub-select without values", (subscribed - before) / users, "bytes")
  report("memory of one with its values", (after - before) / users, "bytes")

  const rows = Array.from({ length: 1000 }, (_, i) =>
    tupleOf([String((i * 37) % users), textOf((i * 7919) % projects)])
  )
  const rowAt = (i: number) => rows[i % rows.length]
  let seen = 0
  report(
    "a transaction with one row that comes",
    micros(10_000, (i) => {
      state.begin()
      state.change(target, undefined, rowAt(i))
      for (const _ of state.flips()) seen++
      state.apply()
    }),
    "µs"
  )
  report(
    "which sub-selects have a value",
    micros(20_000, (i) => {
      for (const _ of state.having(kind, keyOf((i * 7919) % projects))) seen++
    }),
    "µs"
  )
  report(
    "whether one has a value",
    micros(20_000, (i) => {
      if (state.any(kind, constants[i % users] ?? "", emptyLink, [keyOf((i * 7919) % projects)]) === true)
        seen++
    }),
    "µs"
  )
  if (seen === 0) throw new Error("nothing was found: the figures are of something else")
}

const most = Number(process.argv[2] ?? 100_000)
for (const users of [most / 10, most])
  for (const type of ["int4", "uuid"] as const)
    for (const sharing of [20, 1]) {
      // What has been asked for by a weak reference is held until the turn ends.
      await setImmediate()
      measure(users, sharing, type)
    }
