/**
 * `idle`: it can be read, and nobody is known to read it. `making`: its first rows are being read from the database. `recent`:
 * somebody has just used it, and may go on. `held`: a request of a reader waits for its changes.
 */
export type Standing = "idle" | "making" | "recent" | "held"

export interface QuotaShape {
  readonly bytes: number
  readonly lastUsedMillis: number
  readonly standing: Standing
}

/** What the decision is made of: all as of one moment. */
export interface QuotaLook<Shape extends QuotaShape> {
  readonly limitBytes: number
  /** Counted beside the shapes: journal and checkpoint. */
  readonly fixedBytes: number
  readonly shapes: ReadonlyArray<Shape>
  /** Compaction has had its turn, and has nothing left to give. */
  readonly isExhausted: boolean
  /** Readers of another instance, or of this one before it was killed, have had time to come here. */
  readonly areReadersBack: boolean
}

interface QuotaState {
  /** Compaction is to do all it can. */
  readonly isShort: boolean
  /** The limit was passed, and there is not room again yet. */
  readonly isOver: boolean
}

/**
 * Why a shape has to go. `tooLarge`: it would not fit even if there were no other. `leastUsed`: nobody reads it, and others were
 * used after it. `nothingElse`: no shape is left without readers.
 */
export type QuotaReason = "tooLarge" | "leastUsed" | "nothingElse"

export interface QuotaDrop<Shape extends QuotaShape> {
  readonly shape: Shape
  readonly why: QuotaReason
}

interface QuotaDecision<Shape extends QuotaShape> extends QuotaState {
  /** What counts for the limit. */
  readonly usedBytes: number
  readonly drops: ReadonlyArray<QuotaDrop<Shape>>
  /** What is left of that, without shapes that could make room for another one. */
  readonly wantedBytes: number
}

/** Compaction begins with so much of the limit taken, so that it has had its turn before anything has to go. */
const shortShare = 0.8
const notShortShare = 0.75
/** So much may be taken once shapes had to go; not to drop one with every change. */
const roomShare = 0.95
/** Beyond the limit compaction is waited for, up to here: longer where a reader would lose his shape. */
const patienceShare = 1.05
const readerPatienceShare = 1.1

/** What is to go so that what is stored keeps to the limit. Bytes of a shape are its own files'; what has none gives nothing. */
export const decideQuota = <Shape extends QuotaShape>(
  { areReadersBack, fixedBytes, isExhausted, limitBytes, shapes }: QuotaLook<Shape>,
  before: QuotaState
): QuotaDecision<Shape> => {
  let usedBytes = fixedBytes
  let idleBytes = 0
  for (const { bytes, standing } of shapes) {
    usedBytes += bytes
    if (standing === "idle") idleBytes += bytes
  }
  const isShort = usedBytes > limitBytes * (before.isShort ? notShortShare : shortShare)
  const isOver = usedBytes > limitBytes * (before.isOver ? roomShare : 1)
  const drops: Array<QuotaDrop<Shape>> = []
  let wantedBytes = usedBytes - idleBytes
  if (!isOver) return { usedBytes, wantedBytes, isShort, isOver, drops }
  const mayDrop = isExhausted || usedBytes > limitBytes * patienceShare
  const mayDropRead = isExhausted || usedBytes > limitBytes * readerPatienceShare
  const isTooLarge = ({ bytes }: Shape): boolean => fixedBytes + bytes > limitBytes
  let leftBytes = usedBytes
  for (const shape of inOrder(shapes, isTooLarge)) {
    if (leftBytes <= limitBytes * roomShare) break
    const { bytes, standing } = shape
    // Who is wanted goes for what is too much alone, and not for room to spare.
    if (standing !== "idle" && leftBytes <= limitBytes) continue
    const is = isTooLarge(shape)
    // Nobody can compact what is not there yet.
    const may =
      standing === "making" ? is || mayDrop : areReadersBack && (standing === "idle" ? mayDrop : mayDropRead)
    if (!may) continue
    leftBytes -= bytes
    if (standing !== "idle") wantedBytes -= bytes
    drops.push({ shape, why: is ? "tooLarge" : standing === "idle" ? "leastUsed" : "nothingElse" })
  }
  return { usedBytes, wantedBytes, isShort, isOver, drops }
}

/** Whether shapes that are wanted leave room for so much more. */
export const hasRoomFor = (bytes: number, wantedBytes: number, limitBytes: number): boolean =>
  wantedBytes + bytes <= limitBytes * roomShare

const ranks: Readonly<Record<Standing, number>> = { idle: 1, making: 2, recent: 3, held: 4 }

/** Those first that are to go first. */
const inOrder = <Shape extends QuotaShape>(
  shapes: ReadonlyArray<Shape>,
  isTooLarge: (shape: Shape) => boolean
): ReadonlyArray<Shape> => {
  const rank = (shape: Shape): number => (isTooLarge(shape) ? 0 : ranks[shape.standing])
  return shapes
    .filter(({ bytes }) => bytes > 0)
    .toSorted((a, b) => rank(a) - rank(b) || a.lastUsedMillis - b.lastUsedMillis)
}
