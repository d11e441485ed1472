import { quoteIdentifier, quoteTable, type TableName } from "./Identifiers.ts"

/**
 * The SQL that gives a role what this service needs of it, as messages, log and the page "The database role" have it.
 * One statement each, with a semicolon. The operator who runs it has to be a superuser, or own what it names.
 */

/** For the connection that streams. */
export const letReplicate = (role: string): string => `ALTER ROLE ${quoteIdentifier(role)} REPLICATION;`

/** For creating the publication. */
export const letCreate = (database: string, role: string): string =>
  `GRANT CREATE ON DATABASE ${quoteIdentifier(database)} TO ${quoteIdentifier(role)};`

export const createPublicationSql = (publication: string, carriesGeneratedColumns: boolean): string =>
  `CREATE PUBLICATION ${quoteIdentifier(publication)}${carriesGeneratedColumns ? " WITH (publish_generated_columns = stored)" : ""};`

export const carryEverything = (publication: string): string =>
  `ALTER PUBLICATION ${quoteIdentifier(publication)} SET (publish = 'insert, update, delete, truncate');`

export const carryGeneratedColumns = (publication: string): string =>
  `ALTER PUBLICATION ${quoteIdentifier(publication)} SET (publish_generated_columns = stored);`

export const ownPublication = (publication: string, role: string): string =>
  `ALTER PUBLICATION ${quoteIdentifier(publication)} OWNER TO ${quoteIdentifier(role)};`

/** For adding a table to the publication, and for its replica identity. */
export const ownTable = (table: TableName, role: string): string =>
  `ALTER TABLE ${quoteTable(table)} OWNER TO ${quoteIdentifier(role)};`

export const addTable = (publication: string, table: TableName): string =>
  `ALTER PUBLICATION ${quoteIdentifier(publication)} ADD TABLE ${quoteTable(table)};`

export const removeTable = (publication: string, table: TableName): string =>
  `ALTER PUBLICATION ${quoteIdentifier(publication)} DROP TABLE ${quoteTable(table)};`

export const identityFull = (table: TableName): string =>
  `ALTER TABLE ${quoteTable(table)} REPLICA IDENTITY FULL;`

/** For the first rows of shapes, and for subsets. */
export const letUse = (schema: string, role: string): string =>
  `GRANT USAGE ON SCHEMA ${quoteIdentifier(schema)} TO ${quoteIdentifier(role)};`

export const letSelect = (table: TableName, role: string): string =>
  `GRANT SELECT ON ${quoteTable(table)} TO ${quoteIdentifier(role)};`

/** For conditions that use a function which was taken from PUBLIC; all functions of that name. */
export const letExecute = (name: string, role: string): string =>
  `GRANT EXECUTE ON FUNCTION ${quoteIdentifier(name)} TO ${quoteIdentifier(role)};`

/** For tables with row level security. */
export const seeAllRows = (role: string): string => `ALTER ROLE ${quoteIdentifier(role)} BYPASSRLS;`

/** The owner sees all rows of a table unless its policies are forced on the owner too. */
export const doNotForce = (table: TableName): string =>
  `ALTER TABLE ${quoteTable(table)} NO FORCE ROW LEVEL SECURITY;`

/** For seeing whether the sessions of another role are alive. */
export const letSeeOthers = (role: string): string => `GRANT pg_read_all_stats TO ${quoteIdentifier(role)};`
