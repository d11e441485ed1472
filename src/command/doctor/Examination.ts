import { configFindings } from "./ConfigFindings.ts"
import type { DoctorFacts } from "./Facts.ts"
import { checks, type Finding } from "./Finding.ts"
import { lockFindings } from "./LockFindings.ts"
import { publicationFindings } from "./PublicationFindings.ts"
import { roleFindings } from "./RoleFindings.ts"
import { connectionFindings, serverFindings } from "./ServerFindings.ts"
import { serviceFindings } from "./ServiceFindings.ts"
import { slotFindings } from "./SlotFindings.ts"
import { standbyFindings } from "./StandbyFindings.ts"
import { startPlan } from "./StartPlan.ts"
import { storageFindings } from "./StorageFindings.ts"
import { tableFindings } from "./TableFindings.ts"

/** What `baton doctor` has to say, and its exit status: 0 all well, 1 a problem, 2 there was too little to look at anything. */
export interface Examination {
  readonly status: 0 | 1 | 2
  /** In the order of `checks`. */
  readonly findings: ReadonlyArray<Finding>
  /** What a start would do to the database. */
  readonly start: ReadonlyArray<string>
}

const rules: ReadonlyArray<(facts: DoctorFacts) => ReadonlyArray<Finding>> = [
  configFindings,
  connectionFindings,
  serverFindings,
  roleFindings,
  publicationFindings,
  tableFindings,
  slotFindings,
  standbyFindings,
  lockFindings,
  storageFindings
]

/** Two ways may lead to one finding; the one with what to run says more. */
const isRepeated = (finding: Finding, i: number, all: ReadonlyArray<Finding>): boolean =>
  finding.level !== "ok" &&
  all.some(
    (other, j) =>
      j !== i &&
      other.check === finding.check &&
      other.code === finding.code &&
      ((other.text === finding.text && j < i) ||
        (finding.code === "BATON-DB-REPLICATION" && finding.fix === undefined && other.fix !== undefined))
  )

/** What can be seen needs no instance that tells it. */
const withoutSaid = (seen: ReadonlyArray<Finding>, said: ReadonlyArray<Finding>): ReadonlyArray<Finding> => [
  ...seen,
  ...said.filter(
    ({ code, level }) =>
      level === "ok" || code === undefined || !seen.some((one) => one.code === code && one.level !== "ok")
  )
]

/** Judges everything that was seen. Total: a look that has shown nothing is a finding. */
export const examine = (facts: DoctorFacts): Examination => {
  const all = rules.flatMap((rule) => rule(facts))
  const findings = [...withoutSaid(all, serviceFindings(facts))]
    .toSorted((a, b) => checks.indexOf(a.check) - checks.indexOf(b.check))
    .filter((finding, i, sorted) => !isRepeated(finding, i, sorted))
  const status = findings.some(({ level }) => level === "problem") ? 1 : 0
  return { status, findings, start: startPlan(facts) }
}
