/**
 * Where in a transaction stands what a TRUNCATE makes of it. What came of the table before counts for nothing, since all its rows go.
 * First come the rows that a shape held before the transaction, as deletes, in the order of their keys; then whatever stands behind
 * the (last) TRUNCATE, at its own place and this much further. How many rows a shape holds differs from shape to shape, and may not
 * change the places of what all of them get: they follow from the transaction alone.
 */
const firstDeleted = 2 ** 28
const behindDeleted = 2 ** 29

/** More rows than that no shape can be rid of like this. */
export const mostDeleted = (behindDeleted - firstDeleted) / 2

/** The place of the delete of the n-th row. Two for each operation, as for all. */
export const placeOfDelete = (n: number): number => firstDeleted + 2 * n

/** The place of an operation that stands behind the TRUNCATE. */
export const placeBehind = (op: number): number => behindDeleted + op
