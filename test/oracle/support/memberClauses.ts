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

const plain: ReadonlyArray<Make> = [
  (random) => `status = ${word(random)}`,
  (random) => `owner = ${user(random)}`,
  () => `status IS NULL`,
  (random) => `id > ${random.int(1, 40)}`,
  (random) => `owner IN (${user(random)}, ${user(random)})`
]

const condition = (random: Random, table: MemberShape["table"], depth: number): string => {
  const one = () => random.pick(membership)(random, table)
  const other = () => (random.chance(0.4) ? one() : random.pick(plain)(random, table))
  if (depth === 0 || random.chance(0.35)) return one()
  const deeper = () => condition(random, table, depth - 1)
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

export const randomMemberShape = (random: Random): MemberShape => {
  const table = random.chance(0.75) ? "issues" : "notes"
  return {
    table,
    where: condition(random, table, random.pick([0, 0, 1, 2])),
    replica: random.chance(0.2) ? "full" : "default"
  }
}
