import type { ShapeDefinition } from "../../shapes/ShapeDefinition.ts"

type Leaves = ReadonlyArray<number>

/** The definition with partitions besides that its tables have now, by the table; those that it knows stay, for rows of before. */
export const withLeaves = (
  definition: ShapeDefinition,
  leavesOf: (tableOid: number) => Leaves | undefined
): ShapeDefinition => {
  const more = (known: Leaves, oid: number): Leaves => [...new Set([...known, ...(leavesOf(oid) ?? [])])]
  const { leafOids, table, where } = definition
  return {
    ...definition,
    ...(leafOids === undefined ? {} : { leafOids: more(leafOids, table.oid) }),
    ...(where?.members === undefined
      ? {}
      : {
          where: {
            ...where,
            members: where.members.map((member) =>
              member.leafOids === undefined
                ? member
                : { ...member, leafOids: more(member.leafOids, member.table.oid) }
            )
          }
        })
  }
}
