import { assert, describe, it } from "vitest"
import {
  planTable,
  type PublicationPlan,
  publicationProblem
} from "../../src/postgres/publication/PublicationPlan.ts"
import {
  type IdentityState,
  type PublicationState,
  requiredOperations,
  type TableState
} from "../../src/postgres/publication/PublicationState.ts"

const full: IdentityState = {
  oid: 1,
  schema: "public",
  name: "items",
  isFull: true,
  isUnlogged: false,
  refusals: []
}
const virtual = { kind: "virtualColumn", by: "v", listed: null } as const

interface Case {
  readonly publication: PublicationState
  readonly table: TableState
  readonly manual: boolean
  readonly generated: boolean
}

/** Ours, and the table is in it with everything that it needs. */
const fine: Case = {
  publication: {
    role: "electric",
    isOurs: true,
    allTables: false,
    viaRoot: false,
    missingOperations: [],
    generatedColumns: "stored",
    serverVersionNum: 180000,
    listsElsewhere: false,
    generatedLeftOut: false
  },
  table: {
    oid: 1,
    schema: "public",
    name: "items",
    isMember: true,
    isMemberBySchema: false,
    isMemberByAncestor: false,
    isPartitioned: false,
    foreignPartition: null,
    isFiltered: false,
    identities: [full]
  },
  manual: false,
  generated: false
}

type Change = (before: Case) => Case
const publication =
  (change: Partial<PublicationState>): Change =>
  (before) => ({ ...before, publication: { ...before.publication, ...change } })
const table =
  (change: Partial<TableState>): Change =>
  (before) => ({ ...before, table: { ...before.table, ...change } })
const identity =
  (change: Partial<IdentityState>): Change =>
  (before) => ({
    ...before,
    table: { ...before.table, identities: before.table.identities.map((one) => ({ ...one, ...change })) }
  })
const all =
  (...changes: ReadonlyArray<Change>): Change =>
  (before) =>
    changes.reduce((now, change) => change(now), before)
const notOurs = publication({ isOurs: false })
const byHand: Change = (before) => ({ ...before, manual: true })
const generated: Change = (before) => ({ ...before, generated: true })
const missing = table({ isMember: false })
const notFull = identity({ isFull: false })

const planOf = ({ generated: needs, manual, publication: of, table: one }: Case) =>
  planTable(of, one, { publicationName: "p", manual }, needs)
const outcome = (change: Change): string => {
  const plan = planOf(change(fine))
  if ("reason" in plan) return plan.reason
  const { add, setIdentity } = plan satisfies PublicationPlan
  return [add ? "add" : "", setIdentity.length > 0 ? "identity" : ""].filter((part) => part !== "").join("+")
}

const text = (change: Change) => {
  const plan = planOf(change(fine))
  return "reason" in plan ? `${plan.message} ${plan.advice ?? ""}` : assert.fail("a plan")
}

/** In the order in which they are told. */
const obstacles: ReadonlyArray<readonly [expected: string, change: Change]> = [
  ["generatedColumns", all(generated, publication({ generatedColumns: "none" }))],
  ["filtered", table({ isFiltered: true })],
  ["publishedAsRoot", all(table({ isMemberByAncestor: true }), publication({ viaRoot: true }))],
  ["publishedAsRoot", all(table({ isPartitioned: true }), publication({ viaRoot: true }))],
  ["foreignPartition", table({ foreignPartition: "far" })],
  ["unlogged", identity({ isUnlogged: true })],
  ["virtualColumn", identity({ refusals: [virtual] })],
  ["notPublished", all(missing, notOurs)],
  ["identityNotFull", all(notFull, notOurs)]
]

describe("what is to be done about a table", () => {
  it.each<readonly [string, string, Change]>([
    ["nothing when all is well", "", all()],
    ["nothing by hand when all is well", "", all(byHand, notOurs)],
    ["it is added", "add", missing],
    ["its identity is set", "identity", notFull],
    ["both", "add+identity", all(missing, notFull)],
    ["its schema publishes it", "", all(missing, table({ isMemberBySchema: true }))],
    ["all tables are published", "", all(missing, publication({ allTables: true }))],
    ["it is added though an ancestor publishes it", "add", all(missing, table({ isMemberByAncestor: true }))],
    [
      "an ancestor is enough where we may not add it",
      "",
      all(missing, notOurs, table({ isMemberByAncestor: true }))
    ],
    ["an ancestor is enough by hand", "", all(missing, byHand, table({ isMemberByAncestor: true }))],
    ["generated columns are carried", "", generated],
    ["generated columns that nothing asks for", "", publication({ generatedColumns: "none" })],
    [
      "generated columns before Postgres 18",
      "generatedColumns",
      all(generated, publication({ generatedColumns: "unsupported" }))
    ],
    ["a root that publishes for others", "", publication({ viaRoot: true })],
    ["a partitioned table whose partitions speak for themselves", "", table({ isPartitioned: true })],
    ["it may not be added by hand", "notPublished", all(missing, byHand)],
    ["its identity may not be set by hand", "identityNotFull", all(notFull, byHand)]
  ])("%s", (_, expected, change) => assert.strictEqual(outcome(change), expected))

  it("tells of the first of all things that stand in the way", () => {
    obstacles.forEach(([expected, change], i) => {
      assert.strictEqual(outcome(change), expected)
      for (const [, later] of obstacles.slice(i + 1))
        assert.strictEqual(outcome(all(later, change)), expected)
    })
  })

  it("names the partition that is in the way, and what to run", () => {
    const leaf = { ...full, oid: 2, name: "leaf" }
    assert.match(
      text(table({ identities: [full, { ...leaf, isUnlogged: true }] })),
      /UNLOGGED partition "public.leaf".*"?leaf"? SET LOGGED/
    )
    assert.match(
      text(all(table({ identities: [full, { ...leaf, isFull: false }] }), notOurs)),
      /"public.leaf" does not have/
    )
    assert.match(text(all(missing, notOurs)), /lacks privileges to add it.*Or let the role do it/)
    assert.notMatch(text(all(missing, byHand)), /Or let the role do it/)
  })

  it("needs a publication that carries all operations", () => {
    const mode = { publicationName: "p", manual: false }
    assert.isUndefined(publicationProblem(fine.publication, mode))
    assert.match(publicationProblem(undefined, mode)?.message ?? "", /"p" not found/)
    for (const operation of requiredOperations)
      assert.strictEqual(
        publicationProblem({ ...fine.publication, missingOperations: [operation] }, mode)?.reason,
        "publication"
      )
  })
})
