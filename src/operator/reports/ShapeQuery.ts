import { Result } from "effect"
import type { ShapeState } from "../../storage/state/ShapeState.ts"
import {
  changesOf,
  dirtyShareOf,
  type Evaluation,
  evaluationOf,
  logBytesOf,
  snapshotBytesOf,
  tableOf
} from "./ShapeRow.ts"

/** What the list of shapes can be sorted by. */
const sortKeys = {
  created: (shape: ShapeState) => shape.createdAtMillis,
  lastRead: (shape: ShapeState) => shape.lastUsedMillis,
  bytes: (shape: ShapeState) => snapshotBytesOf(shape) + logBytesOf(shape),
  changes: changesOf,
  dirty: (shape: ShapeState) => dirtyShareOf(snapshotBytesOf(shape), logBytesOf(shape)) ?? -1,
  readers: (shape: ShapeState) => shape.waiters?.size ?? 0,
  table: tableOf
} satisfies Record<string, (shape: ShapeState) => number | string>

type SortKey = keyof typeof sortKeys

const evaluations: ReadonlySet<string> = new Set<Evaluation>([
  "all",
  "indexed",
  "evaluated",
  "postgres",
  "unknown"
])

/** Which shapes are listed, and which part of the list. */
export interface ShapeQuery {
  /** Lower case; found anywhere in handle, table or condition. */
  readonly search: string
  readonly evaluation: string | undefined
  readonly sort: SortKey
  readonly descending: boolean
  /** From 1. */
  readonly page: number
  readonly pageSize: number
}

export const maxPageSize = 200
/** How far into a list pages go: whoever looks for something further on looks for something else. */
const maxReach = 10_000
const maxSearchLength = 500

const whole = /^\d{1,9}$/

/** Reads the query of a list; the failure says what is wrong with it, for the person who has written it. */
export const parseShapeQuery = (params: URLSearchParams): Result.Result<ShapeQuery, string> => {
  const known = new Set(["search", "sort", "page", "limit", "evaluation", "secret", "api_secret"])
  for (const name of params.keys())
    if (!known.has(name))
      return Result.fail(
        `There is no parameter ${JSON.stringify(name.slice(0, 60))}: search, sort, page, limit and evaluation are known.`
      )
  const search = params.get("search") ?? ""
  if (search.length > maxSearchLength)
    return Result.fail(`search must not be longer than ${maxSearchLength} characters.`)
  const evaluation = params.get("evaluation") || undefined
  if (evaluation !== undefined && !evaluations.has(evaluation))
    return Result.fail(`evaluation must be one of ${[...evaluations].join(", ")}.`)
  const given = params.get("sort") || "created"
  const descending = given.startsWith("-")
  const sort = descending ? given.slice(1) : given
  if (!Object.hasOwn(sortKeys, sort))
    return Result.fail(
      `sort must be one of ${Object.keys(sortKeys).join(", ")}, with a - before it for the largest first.`
    )
  const page = params.get("page") || "1"
  const limit = params.get("limit") || "50"
  if (!whole.test(page) || Number(page) < 1) return Result.fail("page must be a number from 1 on.")
  if (!whole.test(limit) || Number(limit) < 1 || Number(limit) > maxPageSize)
    return Result.fail(`limit must be a number from 1 to ${maxPageSize}.`)
  if (Number(page) * Number(limit) > maxReach)
    return Result.fail(
      `Pages go as far as the first ${maxReach} shapes of a list: narrow it with search or evaluation, or sort it another way.`
    )
  return Result.succeed({
    search: search.toLowerCase(),
    evaluation,
    sort: sort as SortKey,
    descending,
    page: Number(page),
    pageSize: Number(limit)
  })
}

/** Whether a shape is listed. Nothing is made of a shape where its handle or table decide. */
export const isListed = (shape: ShapeState, { evaluation, search }: ShapeQuery): boolean => {
  if (evaluation !== undefined && evaluationOf(shape) !== evaluation) return false
  if (search === "") return true
  if (shape.handle.toLowerCase().includes(search) || tableOf(shape).toLowerCase().includes(search))
    return true
  return shape.hasCondition && shape.definition.where?.sql.toLowerCase().includes(search) === true
}

/** Those of a long list that come first, without sorting all of it: no more than twice as many are kept as are wanted. */
export class FirstOf {
  private readonly wanted: number
  private readonly sign: 1 | -1
  private readonly key: (shape: ShapeState) => number | string
  private kept: Array<{ readonly shape: ShapeState; readonly key: number | string }> = []
  /** How many were offered. */
  count = 0

  constructor({ descending, page, pageSize, sort }: ShapeQuery) {
    this.wanted = page * pageSize
    this.sign = descending ? -1 : 1
    this.key = sortKeys[sort]
  }

  offer(shape: ShapeState): void {
    this.count++
    this.kept.push({ shape, key: this.key(shape) })
    if (this.kept.length >= 2 * this.wanted + 1000) this.shorten()
  }

  private shorten(): void {
    const { sign } = this
    // Those that are equal stand in the order in which they were made.
    this.kept.sort((a, b) => (a.key === b.key ? a.shape.id - b.shape.id : a.key < b.key ? -sign : sign))
    this.kept.length = Math.min(this.kept.length, this.wanted)
  }

  /** The page that was asked for. */
  page({ page, pageSize }: ShapeQuery): ReadonlyArray<ShapeState> {
    this.shorten()
    return this.kept.slice((page - 1) * pageSize).map(({ shape }) => shape)
  }
}
