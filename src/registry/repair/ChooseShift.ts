import { journalLsn, type Lsn, type ServerLsn } from "../../shared/Lsn.ts"
import { latestCommit } from "../routing/Continuity.ts"
import type { ShapeState } from "../../storage/state/ShapeState.ts"

/** What positions of the journal to come have to lie behind. */
interface StoredPositions {
  readonly shift: bigint
  readonly lastCommitLsn: Lsn
  readonly positionLsn: Lsn
  readonly all: () => Iterable<ShapeState>
}

/**
 * Shifts are multiples of it, so that what a position is to the server can be read off its lower digits, and as much is left
 * free at least behind what is stored: no instance has shown a client more than that which storage does not have.
 */
const stepBytes = 1n << 40n

/** Behind the first rows of all shapes: transactions from here on are in none of them. */
const firstRowsBefore = (shapes: Iterable<ShapeState>): Lsn => {
  let most = 0n
  for (const { visibility } of shapes) {
    if (visibility?.containedBefore === undefined) continue
    const lsn = BigInt(visibility.containedBefore)
    if (lsn > most) most = lsn
  }
  return most
}

/**
 * The shift with which the changes of a slot, which begin at `point`, come behind everything that is stored: the same as before
 * where that does. `isOther`: what is stored is of another database, so it is another one in any case.
 */
export const chooseShift = (point: ServerLsn, stored: StoredPositions, isOther: boolean): bigint => {
  const { positionLsn, shift } = stored
  const lastCommitLsn = latestCommit(stored)
  const madeBefore = firstRowsBefore(stored.all())
  const asBefore = journalLsn(point, shift)
  // Shapes are brought to the position right before the point.
  if (!isOther && lastCommitLsn < asBefore - 1n && positionLsn <= asBefore && madeBefore < asBefore)
    return shift
  let most = asBefore
  for (const lsn of [lastCommitLsn, positionLsn, madeBefore]) if (lsn > most) most = lsn
  return ((most - journalLsn(point, 0n)) / stepBytes + 2n) * stepBytes
}
