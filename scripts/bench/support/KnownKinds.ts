import type { ShapeDefinition } from "../../../src/shapes/ShapeDefinition.ts"
import { isStoredExpression, type WhereClause } from "../../../src/where/index.ts"
import type { Database } from "./Cluster.ts"

/** A kind of condition that very many shapes of one table differ by. */
export interface KnownKind {
  readonly name: string
  /** Columns of the table besides `id`. */
  readonly columns: string
  /** The condition of shape `k`. */
  readonly where: (k: number) => string
  /** What stands in the conditions of two shapes of one form that is not the same, in order. */
  readonly differing: (k: number) => ReadonlyArray<string>
  /** Shapes `k` and `k + forms` have one form. */
  readonly forms: number
  /** SQL: the values of `columns` in a row of shape `k`, and of no other one. */
  readonly values: string
  /** The same as texts. */
  readonly rowOf: (k: number) => ReadonlyArray<string>
}

const hundred = Array.from({ length: 100 }, (_, i) => i)

export const knownKinds: ReadonlyArray<KnownKind> = [
  {
    name: "`v = k`",
    columns: "v integer",
    where: (k) => `v = ${k}`,
    differing: (k) => [String(k)],
    forms: 1,
    values: "k",
    rowOf: (k) => [String(k)]
  },
  {
    name: "`v >= 10 k AND v < 10 k + 10`",
    columns: "v integer",
    where: (k) => `v >= ${10 * k} AND v < ${10 * k + 10}`,
    differing: (k) => [String(10 * k), String(10 * k + 10)],
    forms: 1,
    values: "10 * k + 3",
    rowOf: (k) => [String(10 * k + 3)]
  },
  {
    name: "`v @> '{a, xk}'`",
    columns: "v text[]",
    where: (k) => `v @> '{a,x${k}}'`,
    differing: (k) => [`x${k}`],
    forms: 1,
    values: "ARRAY['a', 'b', 'x' || k]",
    rowOf: (k) => [`{a,b,x${k}}`]
  },
  {
    name: "`v LIKE 'tenants/k/%'`",
    columns: "v text",
    where: (k) => `v LIKE 'tenants/${k}/%'`,
    differing: (k) => [`tenants/${k}/`],
    forms: 1,
    values: "'tenants/' || k || '/files/7'",
    rowOf: (k) => [`tenants/${k}/files/7`]
  },
  {
    name: "`v0 = k` to `v99 = k`",
    columns: hundred.map((i) => `v${i} integer`).join(", "),
    where: (k) => `v${k % 100} = ${k}`,
    differing: (k) => [` ${k}`],
    forms: 100,
    values: hundred.map((i) => `CASE WHEN k % 100 = ${i} THEN k ELSE -1 END`).join(", "),
    rowOf: (k) => hundred.map((i) => (k % 100 === i ? String(k) : "-1"))
  }
]

/** The shapes from here on are made by requests, one of each form, and have no rows: the others are made after them. */
export const modelsBegin = 50_000_000

/** A table of this kind, and a procedure that adds rows to it. */
export const createKnown = async (database: Database, { columns, values }: KnownKind): Promise<void> => {
  await database.run(`
    CREATE TABLE known (id bigint PRIMARY KEY, ${columns});
    CREATE PROCEDURE write_known(first bigint, transactions integer, each_rows integer, shapes integer)
    LANGUAGE plpgsql AS $$
    DECLARE
      id bigint := first;
    BEGIN
      FOR t IN 1..transactions LOOP
        INSERT INTO known SELECT g, ${values}
          FROM (SELECT g, (g * 7919 % shapes)::integer AS k FROM generate_series(id, id + each_rows - 1) g) rows;
        COMMIT;
        id := id + each_rows;
      END LOOP;
    END $$`)
}

/** The shape that row `id` belongs to, among so many. */
export const shapeOfRow = (id: number, shapes: number): number => (id * 7919) % shapes

const replaced = (text: string, from: ReadonlyArray<string>, to: ReadonlyArray<string>): string =>
  from.reduce((all, part, i) => all.replace(part, to[i] ?? ""), text)

/** A clause of the same form as `model`, with `to` where that has `from`. */
export const withDiffering = (
  model: WhereClause,
  from: ReadonlyArray<string>,
  to: ReadonlyArray<string>
): WhereClause => {
  const { expression } = model
  if (!isStoredExpression(expression)) throw new Error("The clause has no form.")
  return {
    ...model,
    sql: replaced(model.sql, from, to),
    expression: {
      ...expression,
      // Each constant has one of the parts, or all of them are one.
      constants: expression.constants.map((constant, i) =>
        replaced(constant, [(from[i] ?? from[0] ?? "").trim()], [(to[i] ?? to[0] ?? "").trim()])
      )
    }
  }
}

/** The definition of shape `k`, made of that of the shape of its form that a request has made. */
export const definitionOf = (
  kind: KnownKind,
  models: ReadonlyArray<ShapeDefinition>,
  k: number
): ShapeDefinition => {
  const form = k % kind.forms
  const model = models[form]
  if (model?.where === undefined) throw new Error(`Shape ${form} has no clause.`)
  return {
    ...model,
    where: withDiffering(model.where, kind.differing(modelsBegin + form), kind.differing(k))
  }
}
