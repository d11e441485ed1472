import type { Database } from "./Cluster.ts"

/**
 * The table of most benchmarks. A row is about 200 bytes as JSON text of its values, of types that applications use;
 * every value follows from `id`, so that a reader can check what it got.
 */
export const createItems = async (database: Database, table = "items"): Promise<void> => {
  await database.run(`
    CREATE TABLE ${table} (
      id bigint PRIMARY KEY,
      tenant integer NOT NULL,
      title text NOT NULL,
      done boolean NOT NULL,
      amount numeric(12, 2),
      created timestamptz NOT NULL,
      note text NOT NULL
    );
    CREATE PROCEDURE write_${table}(first bigint, transactions integer, each_rows integer, tenants integer, first_tenant integer, pause_ms float8)
    LANGUAGE plpgsql AS $$
    DECLARE
      id bigint := first;
      next_at timestamptz := clock_timestamp();
    BEGIN
      FOR t IN 1..transactions LOOP
        INSERT INTO ${table} ${itemRows("id", "id + each_rows - 1", "tenants", "first_tenant")};
        COMMIT;
        id := id + each_rows;
        IF pause_ms > 0 THEN
          next_at := next_at + make_interval(secs => pause_ms / 1000);
          PERFORM pg_sleep(greatest(0, extract(epoch FROM next_at - clock_timestamp())));
        END IF;
      END LOOP;
    END $$`)
}

/** The rows with ids from `first` to `last`, both SQL expressions. */
export const itemRows = (first: string, last: string, tenants: string, firstTenant = "0"): string =>
  `SELECT g, (${firstTenant} + g % ${tenants})::integer, 'Item number ' || g, g % 2 = 0, (g % 100000) / 100.0,
     '2026-01-01 00:00:00+00'::timestamptz + g * interval '1 second', 'A note on item ' || g || ${note}
   FROM generate_series(${first}, ${last}) g`

const note = `': words and more words, so that the row has the size of a usual one'`

export const fillItems = async (
  database: Database,
  table: string,
  rows: number,
  tenants = 1
): Promise<void> => {
  await database.run(`INSERT INTO ${table} ${itemRows("1", String(rows), String(tenants))}`)
  await database.run(`VACUUM ANALYZE ${table}`)
}

/** COPY of exactly the text that the first rows of a shape consist of, made by Postgres. */
export const copyAsMessages = (table: string): string => `
  COPY (
    SELECT '{"key":"\\"public\\".\\"${table}\\"/\\"' || id || '\\"","value":{"id":"' || id || '","tenant":"' || tenant
      || '","title":' || to_json(title)::text || ',"done":"' || CASE WHEN done THEN 't' ELSE 'f' END
      || '","amount":' || coalesce('"' || amount || '"', 'null') || ',"created":"' || created
      || '","note":' || to_json(note)::text || '},"headers":{"operation":"insert","relation":["public","${table}"]}}'
    FROM ${table}
  ) TO STDOUT`

/**
 * Writes transactions inside the server, so that writing costs what Postgres needs and nothing else. Returns when the
 * last one has been committed.
 */
export const write = async (
  database: Database,
  options: {
    readonly table?: string
    readonly first: number
    readonly transactions: number
    readonly rowsEach: number
    readonly writers?: number
    /** Row `id` belongs to tenant `firstTenant + id % tenants`. Default: all rows to tenant 0. */
    readonly tenants?: number
    readonly firstTenant?: number
    /** Time from the start of one transaction to the next; 0 is as fast as possible. */
    readonly pauseMillis?: number
    /** Commits do not wait for the disk: for contents that are only read later. */
    readonly unsynced?: boolean
  }
): Promise<void> => {
  const writers = options.writers ?? 1
  const each = Math.floor(options.transactions / writers)
  if (each * writers !== options.transactions)
    throw new Error("Transactions must divide evenly among the writers.")
  const sessions = await Promise.all(Array.from({ length: writers }, () => database.session()))
  try {
    if (options.unsynced === true) {
      await Promise.all(sessions.map((session) => session.query("SET synchronous_commit = off")))
    }
    await Promise.all(
      sessions.map((session, i) =>
        session.query(
          `CALL write_${options.table ?? "items"}(${options.first + i * each * options.rowsEach}, ${each}, ` +
            `${options.rowsEach}, ${options.tenants ?? 1}, ${options.firstTenant ?? 0}, ${options.pauseMillis ?? 0})`
        )
      )
    )
  } finally {
    await Promise.all(sessions.map((session) => session.end()))
  }
}
