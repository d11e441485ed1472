import { setTimeout as sleep } from "node:timers/promises"
import type { Fate, Meeting, TurnedOn } from "../bucket/BucketFaults.ts"
import type { SharedBucket } from "../bucket/BucketFront.ts"
import type { Random } from "../Random.ts"
import type { Instances } from "../services/Instances.ts"
import type { Machines } from "../services/Machines.ts"
import type { HandoverKind } from "./HandoverEvents.ts"
import type { Happening } from "./HandoverRuns.ts"

export const bucketKinds = [
  "emptyDisks",
  "third",
  "bucketFrozen",
  "bucketErrors",
  "lostAnswers",
  "latePuts",
  "doubledPuts",
  "activeCutOff",
  "tailCut",
  "tailSilent"
] as const
export type BucketKind = (typeof bucketKinds)[number]

/** The machines and the bucket that things happen to. */
export interface BucketScene {
  readonly s3: SharedBucket
  /** The name under which the instance on a machine goes to the bucket. */
  readonly clientOf: (machine: number) => string
  readonly machines: Machines
  readonly random: Random
  /** Milliseconds that each create takes when nothing happens. */
  readonly putMillis: number
  readonly say: (text: string) => void
}

/** Faults before which the delay that is always there stands back. */
export class Bucket {
  private readonly scene: Pick<BucketScene, "s3" | "putMillis">
  private delay: TurnedOn | undefined

  constructor(scene: Pick<BucketScene, "s3" | "putMillis">) {
    this.scene = scene
    this.delayLast()
  }

  /** A fault comes before those that were there. */
  add(fate: Fate, meeting: Meeting = {}): TurnedOn {
    const added = this.scene.s3.faults.add(fate, meeting)
    this.delayLast()
    return added
  }

  private delayLast(): void {
    const { putMillis, s3 } = this.scene
    this.delay?.end()
    if (putMillis > 0)
      this.delay = s3.faults.add({ _tag: "Delay", millis: putMillis }, { operation: "create" })
  }
}

/** What happens while something is wrong with the bucket or a wire. */
const meanwhile: ReadonlyArray<HandoverKind | "nothing"> = [
  "nothing",
  "nothing",
  "upgrade",
  "upgrade",
  "killActive",
  "killActive",
  "killWaiting",
  "freeze"
]

/** Things that happen to a bucket, to disks that are not shared, and to the wires between instances. */
export const bucketHappenings = (
  scene: BucketScene,
  bucket: Bucket
): Readonly<Record<BucketKind, Happening>> => {
  const { machines, random, say } = scene
  type Usual = Parameters<Happening["happen"]>[1]

  /** Something is wrong for a while; something else may happen as long as it is. */
  const during = async (usual: Usual, begin: () => () => void, longestMillis: number) => {
    const end = begin()
    const ended = sleep(random.int(300, longestMillis)).then(end)
    const kind = random.pick(meanwhile)
    say(`  something is wrong, and meanwhile: ${kind}`)
    if (kind !== "nothing") await sleep(random.int(0, 500))
    const millis = kind === "nothing" ? undefined : await usual(kind)
    await ended
    return millis
  }

  /** Requests of the kind meet it, most of them not. */
  const some = (fate: Fate, meeting: Meeting): (() => void) => {
    const added = bucket.add(fate, { ...meeting, nth: random.int(1, 4), times: random.int(1, 6) })
    return () => {
      added.land()
      added.end()
    }
  }

  const happenings: Record<BucketKind, Happening["happen"]> = {
    emptyDisks: (_, usual) => {
      machines.loseDisks()
      return usual("killAll")
    },
    third: async (instances, usual) => {
      const others = instances.running().length
      machines.loseDisks()
      await instances.untilReady(await instances.start())
      const millis = await usual("killActive")
      if (instances.running().length > others) throw new Error("More instances than before are running.")
      return millis
    },
    bucketFrozen: (_, usual) => during(usual, () => bucket.add({ _tag: "Hang" }).end, 4000),
    bucketErrors: (_, usual) => {
      const kind = random.pick(["throttled", "failing", "unreachable"] as const)
      const meeting = random.pick([{ operation: "create" } as const, {}])
      return during(usual, () => bucket.add({ _tag: "Refuse", kind }, meeting).end, 3000)
    },
    lostAnswers: (_, usual) =>
      during(usual, () => some({ _tag: "Unanswered" }, { operation: "create" }), 2000),
    latePuts: (_, usual) => during(usual, () => some({ _tag: "Late" }, { operation: "create" }), 3000),
    doubledPuts: (_, usual) => during(usual, () => some({ _tag: "Doubled" }, { operation: "create" }), 3000),
    activeCutOff: async (instances, usual) => {
      const client = await clientOfActive(scene, instances)
      const fate: Fate = random.chance(0.5) ? { _tag: "Hang" } : { _tag: "Refuse", kind: "unreachable" }
      return during(usual, () => bucket.add(fate, { client }).end, 4000)
    },
    tailCut: (_, usual) => during(usual, () => onWires(machines, "block"), 4000),
    tailSilent: (_, usual) => during(usual, () => onWires(machines, "blackHole"), 5000)
  }
  return Object.fromEntries(
    Object.entries(happenings).map(([kind, happen]) => [kind, { kind, happen }])
  ) as Record<BucketKind, Happening>
}

const onWires = ({ wires }: Machines, how: "block" | "blackHole"): (() => void) => {
  for (const wire of wires) wire[how]()
  return () => {
    for (const wire of wires) wire.restore()
  }
}

const clientOfActive = async ({ clientOf }: BucketScene, instances: Instances): Promise<string> =>
  clientOf(instances.places.indexOf(await instances.active()))
