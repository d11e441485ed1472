/**
 * Runs SQL in the database that `npm start` uses and prints the rows: `npm run sql -- "SELECT count(*) FROM issues"`.
 * That is `DATABASE_URL`, or else the development database, started for the moment if it does not run.
 */
import { Effect, Exit, Scope } from "effect"
import pg from "pg"
import { devDatabase } from "../src/dev/DevDatabase.ts"

const sql = process.argv.slice(2).join(" ")
if (sql.trim() === "") {
  process.stderr.write('Usage: npm run sql -- "SELECT count(*) FROM issues"\n')
  process.exit(2)
}

/** Whole numbers are shown as numbers where JavaScript has them exactly, all else as the text that Postgres sends. */
const getTypeParser = (oid: number) =>
  oid === pg.types.builtins.INT2 || oid === pg.types.builtins.INT4 ? Number : String

const run = async (url: string): Promise<void> => {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    // One statement gives one result, several give one each.
    const results = await client.query({ text: sql, types: { getTypeParser } })
    for (const { command, rowCount, rows } of [results].flat()) {
      if (rows.length > 0) console.table(rows)
      else console.log(`${command} ${rowCount ?? ""}`)
    }
  } finally {
    await client.end()
  }
}

const scope = Effect.runSync(Scope.make())
try {
  const given = process.env["DATABASE_URL"]
  const directory = process.env["BATON_DEV_DIR"] ?? "./.baton"
  const database = Scope.provide(devDatabase({ directory }), scope)
  await run(given ?? (await Effect.runPromise(database)).url)
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
} finally {
  await Effect.runPromise(Scope.close(scope, Exit.void))
}
