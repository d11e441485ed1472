import type { Random } from "../../../testing/Random.ts"
import { words } from "./memberTables.ts"

/** A shape of a table with sub-selects in its condition. */
export interface MemberShape {
  readonly table: "issues" | "notes"
  readonly where: string
  readonly replica: "default" | "full"
}

type Make = (random: Random, table: MemberShape["table"]) => string

const word = (random: Random) => `'${random.pick(words)}'`
const user = (random: Random) => random.int(1, 5)

const onProject: Make = (random) =>
  random.pick([
    () => "active",
    () => "NOT active",
    () => `kind = ${word(random)}`,
    () => `weight > ${random.int(1, 5)}`,
    () => `org = ${random.int(1, 5)} AND active IS NOT FALSE`,
    () => `kind IS NULL OR kind LIKE 'o%'`,
    () => `org IN (SELECT id FROM orgs WHERE active)`,
    () => `org NOT IN (SELECT id FROM orgs WHERE owner = ${user(random)})`,
    () => `EXISTS (SELECT 1 FROM orgs o WHERE o.id = projects.org AND o.owner = ${user(random)})`,
    () =>
      `EXISTS (SELECT 1 FROM orgs o, members m WHERE o.id = projects.org AND m.project = projects.id AND m.usr = o.owner)`,
    () => `id IN (SELECT "for" FROM "Other"."Odd Labels" WHERE "Label" = ${word(random)}) OR weight IN (1, 2)`
  ])()

const onMember: Make = (random) =>
  random.pick([
    () => `usr = ${user(random)}`,
    () => `usr = ${user(random)} AND role = ${word(random)}`,
    () => `usr > ${user(random)}`,
    () => `role IS NULL`,
    () => `project IN (SELECT id FROM projects WHERE ${onProject(random, "issues")})`,
    () => "true"
  ])()

/** Conditions that are a sub-select, of every form. */
const membership: ReadonlyArray<Make> = [
  (random, table) => `project IN (SELECT id FROM projects WHERE ${onProject(random, table)})`,
  (random, table) => `project NOT IN (SELECT id FROM projects WHERE ${onProject(random, table)})`,
  (random, table) => `project IN (SELECT project FROM members WHERE ${onMember(random, table)})`,
  (random, table) => `NOT project IN (SELECT project FROM members WHERE ${onMember(random, table)})`,
  (random) =>
    `(project, owner) ${random.pick(["IN", "NOT IN"])} (SELECT project, usr FROM members WHERE role IS DISTINCT FROM ${word(random)})`,
  (random) => `(owner, project) ${random.pick(["IN", "NOT IN"])} (SELECT usr, project FROM members)`,
  (random, table) =>
    `${random.pick(["", "NOT "])}EXISTS (SELECT 1 FROM members m WHERE m.project = ${table}.project AND m.usr = ${user(random)})`,
  (random, table) =>
    `${random.pick(["", "NOT "])}EXISTS (SELECT * FROM members WHERE members.project = ${table}.project AND ${table}.owner = members.usr)`,
  (_random, table) =>
    `EXISTS (SELECT FROM projects p WHERE p.id = ${table}.project AND EXISTS (SELECT 1 FROM orgs WHERE orgs.id = p.org AND orgs.active))`,
  (random) => `owner = ANY (SELECT usr FROM members WHERE project = ${random.int(1, 9)})`,
  (random) => `owner <> ALL (SELECT usr FROM members WHERE project = ${random.int(1, 9)})`,
  (_random, table) => `status = (SELECT kind FROM projects p WHERE p.id = ${table}.project)`,
  (random, table) =>
    `${random.int(1, 6)} > (SELECT weight FROM projects p WHERE p.id = project AND ${random.pick(["p.active", "true"])})`.replace(
      "= project",
      `= ${table}.project`
    ),
  (random) => `(SELECT active FROM orgs WHERE id = ${random.int(1, 4)})`,
  (random) =>
    `project IN (SELECT m.project FROM members m JOIN projects p ON p.id = m.project WHERE m.usr = ${user(random)} AND p.active)`,
  (random) =>
    `project IN (SELECT projects.id FROM projects, members WHERE members.project = projects.id AND members.usr = ${user(random)})`,
  (random) =>
    `lower(status) IN (SELECT DISTINCT lower(kind) FROM projects WHERE weight > ${random.int(1, 4)})`,
  (random) => `project + 1 IN (SELECT id + 1 FROM projects WHERE kind = ${word(random)})`,
  (random) => `project IN (SELECT "for" FROM "Other"."Odd Labels" AS l WHERE l."Label" = ${word(random)})`,
  (random, table) =>
    `id IN (SELECT parent FROM issues WHERE status = ${word(random)} AND ${table === "issues" ? "true" : "points > 1"})`,
  (random) => `${user(random)} IN (SELECT owner FROM orgs WHERE active)`,
  (random, table) =>
    `owner IN (SELECT usr FROM members m WHERE m.project = ${table}.project AND m.role <> ${word(random)})`,
  (_random, table) => `owner NOT IN (SELECT usr FROM members m WHERE m.project = ${table}.project)`
]

const not = (random: Random) => random.pick(["", "NOT "])

/** Those of which rows are gone through: they cannot be taken apart by equalities. */
const loops: ReadonlyArray<Make> = [
  // Joins in a circle
  (random, table) =>
    `${not(random)}EXISTS (SELECT 1 FROM members m, projects p, orgs o WHERE m.project = ${table}.project AND p.id = m.project AND o.id = p.org AND o.owner = m.usr)`,
  (random) =>
    `project ${not(random)}IN (SELECT p.id FROM projects p JOIN orgs o ON o.id = p.org JOIN members m ON m.project = p.id AND m.usr = o.owner WHERE m.role IS DISTINCT FROM ${word(random)})`,
  (random, table) =>
    `owner ${not(random)}IN (SELECT m.usr FROM orgs o JOIN projects p ON p.org = o.id JOIN members m ON m.usr = o.owner AND m.project = p.id AND m.project = ${table}.project)`,
  (random, table) =>
    `${not(random)}EXISTS (SELECT 1 FROM members m, orgs o, orgs alone WHERE m.project = ${table}.project AND o.owner = m.usr AND o.id = ${table}.owner AND alone.owner = ${user(random)} AND alone.active)`,
  (_random, table) =>
    `EXISTS (SELECT 1 FROM "Other"."Odd Labels" l, projects p, orgs o WHERE l."for" = ${table}.project AND p.kind = l."Label" AND o.id = p.org AND o.owner = l."Row")`,
  // What is selected is of several tables
  (random, table) =>
    `(status, owner) ${not(random)}IN (SELECT p.kind, m.usr FROM projects p JOIN members m ON m.project = p.id WHERE p.id = ${table}.project)`,
  (random) =>
    `(status, owner) ${not(random)}IN (SELECT p.kind, o.owner FROM projects p, orgs o WHERE p.org = o.id AND p.weight > ${random.int(1, 5)})`,
  (_random, table) =>
    `owner = (SELECT o.owner FROM projects p JOIN orgs o ON o.id = p.org WHERE p.id = ${table}.project)`,
  (random, table) =>
    `(SELECT p.weight FROM projects p, orgs o WHERE o.id = p.org AND p.id = ${table}.project AND o.active) < ${random.int(1, 6)}`,
  (random, table) =>
    `(SELECT DISTINCT p.kind FROM projects p, members m WHERE m.project = p.id AND p.id = ${table}.project) ${random.pick(["=", "<>"])} status`,
  // The row around the row around
  (random, table) =>
    `EXISTS (SELECT 1 FROM members m WHERE m.project = ${table}.project AND ${not(random)}EXISTS (SELECT 1 FROM orgs o WHERE o.owner = m.usr AND o.id = ${table}.owner))`,
  (random, table) =>
    `${not(random)}EXISTS (SELECT 1 FROM members m WHERE m.project = ${table}.project AND (m.role = ${word(random)} OR EXISTS (SELECT 1 FROM projects p WHERE p.kind = ${table}.status AND p.weight = m.usr)))`,
  (random, table) =>
    `project ${not(random)}IN (SELECT p.id FROM projects p WHERE p.weight > 2 AND ${table}.owner ${not(random)}IN (SELECT usr FROM members m WHERE m.project = p.id))`,
  (random, table) =>
    `EXISTS (SELECT 1 FROM projects p WHERE p.id = ${table}.project AND (p.active OR EXISTS (SELECT 1 FROM orgs o WHERE o.id = p.org AND o.owner = ${table}.owner)) IS NOT ${random.pick(["TRUE", "FALSE", "UNKNOWN"])})`,
  // Sub-selects in what is compared with others
  (random, table) =>
    `owner ${not(random)}IN (SELECT usr FROM members WHERE project = (SELECT org FROM projects p WHERE p.id = ${table}.project))`,
  (random, table) =>
    `(SELECT org FROM projects p WHERE p.id = ${table}.project) ${random.pick(["= ANY", "<> ALL"])} (SELECT id FROM orgs WHERE active)`,
  (random) =>
    `project ${not(random)}IN (SELECT (SELECT org FROM projects p WHERE p.id = m.project) FROM members m WHERE m.usr = ${user(random)})`,
  (_random, table) =>
    `EXISTS (SELECT 1 FROM members m WHERE m.project = ${table}.project AND m.usr = (SELECT o.owner FROM orgs o WHERE o.id = ${table}.owner))`,
  // Days and moments
  (random) => `due ${not(random)}IN (SELECT starts FROM projects WHERE active)`,
  (_random, table) =>
    `EXISTS (SELECT 1 FROM projects p WHERE p.starts = ${table}.due AND p.id = ${table}.project)`
]

const plain: ReadonlyArray<Make> = [
  (random) => `status = ${word(random)}`,
  (random) => `owner = ${user(random)}`,
  () => `status IS NULL`,
  (random) => `id > ${random.int(1, 40)}`,
  (random) => `owner IN (${user(random)}, ${user(random)})`
]

const condition = (
  random: Random,
  table: MemberShape["table"],
  depth: number,
  kinds: ReadonlyArray<ReadonlyArray<Make>>
): string => {
  const one = () => random.pick(random.pick(kinds))(random, table)
  const other = () => (random.chance(0.4) ? one() : random.pick(plain)(random, table))
  if (depth === 0 || random.chance(0.35)) return one()
  const deeper = () => condition(random, table, depth - 1, kinds)
  return random.pick([
    () => `${deeper()} AND ${other()}`,
    () => `(${deeper()}) OR ${other()}`,
    () => `NOT (${deeper()})`,
    () => `(${deeper()}) IS NOT TRUE`,
    () => `(${deeper()}) IS UNKNOWN`,
    () => `(${deeper()}) = true`,
    () => `coalesce(${deeper()}, ${other()})`,
    () => `CASE WHEN ${other()} THEN ${deeper()} ELSE ${other()} END`,
    () => `(${deeper()} OR ${other()}) AND (${other()} OR ${other()})`,
    () => `NOT (${deeper()} AND ${other()})`
  ])()
}

const allKinds = [membership, loops]

/** `onlyLoops`: every condition has one of those. */
export const randomMemberShape = (random: Random, onlyLoops = false): MemberShape => {
  const table = random.chance(0.75) ? "issues" : "notes"
  return {
    table,
    where: condition(random, table, random.pick([0, 0, 1, 2]), onlyLoops ? [loops] : allKinds),
    replica: random.chance(0.2) ? "full" : "default"
  }
}
