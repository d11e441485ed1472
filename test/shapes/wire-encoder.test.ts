import { assert, describe, it } from "@effect/vitest"
import fc from "fast-check"
import { type Tuple, unchangedToastLength } from "../../src/postgres/Tuple.ts"
import { tupleOf } from "../../testing/TupleOf.ts"
import { ByteWriter } from "../../src/shared/ByteWriter.ts"
import {
  type EncodedParts,
  makeTransactionStamp,
  makeWireEncoder,
  variantKey,
  type WireEncoder
} from "../../src/shapes/WireEncoder.ts"

/** The rule for keys once more, on plain texts. */
const rowKey = (
  name: { readonly schema: string; readonly name: string },
  values: ReadonlyArray<string | null>
): string =>
  `"${name.schema.replaceAll('"', '""')}"."${name.name.replaceAll('"', '""')}"` +
  values.map((value) => (value === null ? "/_" : `/"${value.replaceAll("/", "//")}"`)).join("")

type Values = ReadonlyArray<string | null>

const table = { oid: 1, schema: "public", name: "items" }
const stamp = makeTransactionStamp(26674688n, 745)
const txHeaders = { lsn: "26674688", txids: [745] }

/** Any text that Postgres can hold: all of Unicode but NUL, with short and long runs of what needs escaping. */
const anyText = fc
  .oneof(
    { weight: 5, arbitrary: fc.string({ unit: "binary", maxLength: 20 }) },
    { weight: 1, arbitrary: fc.string({ unit: "binary", minLength: 100, maxLength: 400 }) },
    {
      weight: 2,
      arbitrary: fc.string({ unit: fc.constantFrom("/", '"', "\\", "\n", "\u001f", "a"), maxLength: 200 })
    },
    {
      weight: 2,
      arbitrary: fc
        .tuple(fc.nat(5000), fc.string({ maxLength: 3 }))
        .map(([n, s]) => "x".repeat(n) + s + "é".repeat(n % 99))
    }
  )
  .map((text) => text.replaceAll("\0", ""))
const anyValue = fc.option(anyText, { freq: 5 })
const anyName = fc
  .string({ unit: "binary", minLength: 1, maxLength: 10 })
  .map((name) => name.replaceAll("\0", "x"))

interface Case {
  readonly parts: EncodedParts
  readonly rowColumns: ReadonlyArray<string>
  readonly old: Values
  readonly row: Values
}

/** A table, a shape on it (key, selected columns), and two rows that have some values in common. */
const anyCase: fc.Arbitrary<Case> = fc
  .record({
    schema: anyName,
    name: anyName,
    rowColumns: fc.uniqueArray(anyName, { minLength: 1, maxLength: 7 }),
    seed: fc.infiniteStream(fc.nat(1000)),
    replica: fc.constantFrom("default" as const, "full" as const)
  })
  .chain(({ name, replica, rowColumns, schema, seed }) => {
    const next = () => Number(seed.next().value)
    const shuffled = rowColumns.toSorted(() => (next() % 2) - 0.5)
    const keyColumns = shuffled.slice(0, 1 + (next() % rowColumns.length))
    const columns = rowColumns.filter((column) => keyColumns.includes(column) || next() % 3 > 0)
    const values = fc.array(anyValue, { minLength: rowColumns.length, maxLength: rowColumns.length })
    return fc
      .record({ old: values, changed: values, keep: fc.array(fc.boolean(), { minLength: 7, maxLength: 7 }) })
      .map(({ changed, keep, old }) => ({
        parts: { table: { oid: 1, schema, name }, keyColumns, columns, replica },
        rowColumns,
        old,
        row: changed.map((value, i) => (keep[i] === true ? (old[i] ?? null) : value))
      }))
  })

/** A row whose second value was too long to be sent again. */
const withToast = (values: Values): Tuple => {
  const tuple = tupleOf(values)
  tuple.lengths[1] = unchangedToastLength
  return tuple
}

const encoderFor = (parts: EncodedParts, rowColumns: ReadonlyArray<string>): WireEncoder => {
  const encoder = makeWireEncoder(rowColumns, parts)
  if (encoder === undefined) throw new Error("The row lacks a column of the shape.")
  return encoder
}

/** What `write` wrote, after something else that must stay as it is. */
const written = (write: (w: ByteWriter) => void): Buffer => {
  const w = new ByteWriter(64)
  w.append(Buffer.from("before,"))
  write(w)
  assert.strictEqual(w.written().toString("utf8", 0, 7), "before,")
  return Buffer.from(w.written().subarray(7))
}

const textOf = (write: (w: ByteWriter) => void): string => written(write).toString()

const parsed = (bytes: Uint8Array): unknown => {
  const text = Buffer.from(bytes).toString("utf8")
  assert.isTrue(Buffer.from(text, "utf8").equals(bytes), "valid UTF-8")
  return JSON.parse(text)
}

// The same messages, built from the rules of the protocol with ordinary objects.
const valueOf = (c: Case, values: Values, names: ReadonlyArray<string>) =>
  Object.fromEntries(names.map((name) => [name, values[c.rowColumns.indexOf(name)] ?? null]))
const keyOf = (c: Case, values: Values) =>
  rowKey(
    c.parts.table,
    c.parts.keyColumns.map((name) => values[c.rowColumns.indexOf(name)] ?? null)
  )
const headersOf = (c: Case, operation: string, op: number | undefined) => ({
  operation,
  relation: [c.parts.table.schema, c.parts.table.name],
  ...(op === undefined ? {} : { ...txHeaders, op_position: op })
})
const inAttributeOrder = (c: Case, names: ReadonlyArray<string>) =>
  c.parts.columns.filter((name) => names.includes(name))

const expectedInsert = (c: Case, op: number | undefined, more: object = {}) => ({
  key: keyOf(c, c.row),
  value: valueOf(c, c.row, c.parts.columns),
  headers: { ...headersOf(c, "insert", op), ...more }
})
const expectedDelete = (c: Case, op: number, more: object = {}) => ({
  key: keyOf(c, c.old),
  value: valueOf(
    c,
    c.old,
    c.parts.replica === "full" ? c.parts.columns : inAttributeOrder(c, c.parts.keyColumns)
  ),
  headers: { ...headersOf(c, "delete", op), ...more }
})
const expectedUpdate = (c: Case, op: number): ReadonlyArray<unknown> => {
  const at = (name: string) => c.rowColumns.indexOf(name)
  const changed = c.parts.columns.filter((name) => c.old[at(name)] !== c.row[at(name)])
  if (changed.length === 0) return []
  if (changed.some((name) => c.parts.keyColumns.includes(name)))
    return [
      expectedDelete(c, op, { key_change_to: keyOf(c, c.row) }),
      expectedInsert(c, op + 1, { key_change_from: keyOf(c, c.old) })
    ]
  const full = c.parts.replica === "full"
  const names = full ? c.parts.columns : inAttributeOrder(c, [...c.parts.keyColumns, ...changed])
  return [
    {
      key: keyOf(c, c.row),
      value: valueOf(c, c.row, names),
      ...(full ? { old_value: valueOf(c, c.old, changed) } : {}),
      headers: headersOf(c, "update", op)
    }
  ]
}

describe("a change message", () => {
  it("says what an independently built one says, for any text", () => {
    fc.assert(
      fc.property(anyCase, fc.nat(2 ** 31), (c, n) => {
        const op = n * 2
        const encoder = encoderFor(c.parts, c.rowColumns)
        const old = tupleOf(c.old)
        const row = tupleOf(c.row)
        assert.deepStrictEqual(
          parsed(written((w) => encoder.insert(w, row, stamp, op))),
          expectedInsert(c, op)
        )
        assert.deepStrictEqual(parsed(written((w) => encoder.row(w, row))), expectedInsert(c, undefined))
        assert.deepStrictEqual(
          parsed(written((w) => encoder.delete(w, old, stamp, op))),
          expectedDelete(c, op)
        )
        let count = 0
        const bytes = written((w) => (count = encoder.update(w, old, row, stamp, op)))
        const messages =
          count === 0
            ? [bytes].filter((empty) => empty.length > 0)
            : count === 1
              ? [bytes]
              : [bytes.subarray(0, encoder.secondStart - 7), bytes.subarray(encoder.secondStart - 7)]
        assert.deepStrictEqual(messages.map(parsed), [...expectedUpdate(c, op)])
        for (const message of messages) assert.strictEqual(message.toString("latin1").slice(-2), "}}")
      }),
      { numRuns: 300 }
    )
  })

  it("is written as JSON.stringify writes texts", () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const encoder = encoderFor({ table, keyColumns: ["a"], columns: ["a"], replica: "default" }, ["a"])
        assert.strictEqual(
          written((w) => encoder.row(w, tupleOf([text]))).toString("utf8"),
          `{"key":${JSON.stringify(rowKey(table, [text]))},"value":{"a":${JSON.stringify(text)}},` +
            `"headers":{"operation":"insert","relation":["public","items"]}}`
        )
      })
    )
  })

  const parts: EncodedParts = { table, keyColumns: ["id"], columns: ["id", "body", "n"], replica: "default" }

  it("is shaped like this", () => {
    const encoder = encoderFor(parts, ["n", "id", "body"])
    const old = tupleOf(["1", "a/b", "text"])
    const row = tupleOf(["2", "a/b", "text"])
    assert.strictEqual(
      textOf((w) => encoder.update(w, old, row, stamp, 4)),
      '{"key":"\\"public\\".\\"items\\"/\\"a//b\\"","value":{"id":"a/b","n":"2"},"headers":{"operation":"update",' +
        '"relation":["public","items"],"lsn":"26674688","txids":[745],"op_position":4}}'
    )
    const full = encoderFor({ ...parts, replica: "full" }, ["n", "id", "body"])
    assert.include(
      textOf((w) => full.update(w, old, row, stamp, 4)),
      '"value":{"id":"a/b","body":"text","n":"2"},"old_value":{"n":"1"},"headers"'
    )
  })

  it("takes a TOAST value that was not sent from the old row", () => {
    const old = tupleOf(["1", "long", "1"])
    for (const replica of ["default", "full"] as const) {
      const encoder = encoderFor({ ...parts, replica }, ["id", "body", "n"])
      const update = (row: Tuple) => {
        const bytes = written((w) => encoder.update(w, old, row, stamp, 0))
        return bytes.length === 0 ? undefined : JSON.parse(`[${bytes.toString().replace("}}{", "}},{")}]`)
      }
      assert.isUndefined(update(withToast(["1", null, "1"])))
      assert.deepStrictEqual(
        update(withToast(["1", null, "2"]))[0].value,
        replica === "full" ? { id: "1", body: "long", n: "2" } : { id: "1", n: "2" }
      )
      assert.deepStrictEqual(update(withToast(["2", null, "1"]))[1].value, { id: "2", body: "long", n: "1" })
    }
    const keyed = encoderFor({ ...parts, keyColumns: ["body"] }, ["id", "body", "n"])
    const bytes = written((w) => keyed.update(w, old, withToast(["1", null, "2"]), stamp, 0))
    assert.include(bytes.toString(), '/\\"long\\""')
  })

  it("carries further headers on rows of a subset", () => {
    const encoder = makeWireEncoder(["id"], { ...parts, columns: ["id"] }, { snapshot_mark: 7 })
    const bytes = written((w) => encoder?.row(w, tupleOf(["1"])))
    assert.deepStrictEqual((parsed(bytes) as { headers: unknown }).headers, {
      operation: "insert",
      relation: ["public", "items"],
      snapshot_mark: 7
    })
  })

  it("cannot be made of rows that lack a column of the shape", () => {
    assert.isUndefined(makeWireEncoder(["id", "body"], parts))
    assert.isUndefined(makeWireEncoder(["body", "n"], parts))
  })
})

describe("row keys", () => {
  it.each([
    [{ schema: "public", name: "foo" }, ["100"], '"public"."foo"/"100"'],
    [{ schema: "public", name: "m" }, ["1", "2"], '"public"."m"/"1"/"2"'],
    [{ schema: "public", name: "m" }, ["a/b", 'q"q', "", null], '"public"."m"/"a//b"/"q"q"/""/_'],
    [{ schema: "My.Schema", name: 'a/"b"' }, ["1"], '"My.Schema"."a/""b"""/"1"']
  ])("%j %j", (name, values, key) => assert.strictEqual(rowKey(name, values), key))

  it("differ when the rows differ", () => {
    const values = fc.array(
      fc.option(fc.string({ unit: fc.constantFrom("/", '"', "_", "a"), maxLength: 4 })),
      {
        minLength: 2,
        maxLength: 2
      }
    )
    fc.assert(
      fc.property(values, values, (a, b) => {
        assert.strictEqual(rowKey(table, a) === rowKey(table, b), JSON.stringify(a) === JSON.stringify(b))
      }),
      { numRuns: 2000 }
    )
  })
})

describe("variants", () => {
  const parts: EncodedParts = { table, keyColumns: ["id"], columns: ["id", "n"], replica: "default" }
  it("are equal for shapes whose messages are", () => {
    assert.strictEqual(variantKey({ ...parts }), variantKey({ ...parts, table: { ...table, oid: 2 } }))
  })
  it("differ for shapes whose messages may differ", () => {
    const different = [
      parts,
      { ...parts, replica: "full" as const },
      { ...parts, columns: ["id"] },
      { ...parts, keyColumns: ["n"] },
      { ...parts, table: { ...table, name: "other" } },
      { ...parts, table: { ...table, schema: "other" } }
    ].map(variantKey)
    assert.strictEqual(new Set(different).size, different.length)
  })
})
