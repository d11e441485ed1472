import type { ObjectInfo } from "../../bucket/ObjectStore.ts"

/** How much may be asked for before it is used. */
const mostObjects = 32
const mostBytes = 128 * 1024 * 1024

type Answer = { readonly bytes: Buffer | undefined } | { readonly error: unknown }

interface Asked {
  readonly info: ObjectInfo
  readonly answer: Promise<Answer>
}

/**
 * The objects of a listing, in its order, with their bytes (`undefined` for one that is not there any more). Up to 32
 * are asked for before they are used, as long as they come to 128 MiB or less, and one at least, whatever its size. Fails as
 * `get` and the listing do, when it is the turn of what they fail for; answers that are still under way then are dropped.
 */
export async function* readAhead(
  get: (key: string) => Promise<Buffer | undefined>,
  listing: AsyncIterable<ObjectInfo>
): AsyncGenerator<{ readonly info: ObjectInfo; readonly bytes: Buffer | undefined }> {
  const asked: Array<Asked> = []
  let askedBytes = 0
  const ask = (info: ObjectInfo): void => {
    askedBytes += info.bytes
    const answer = get(info.key).then(
      (bytes) => ({ bytes }),
      (error: unknown) => ({ error })
    )
    asked.push({ info, answer })
  }
  const use = async ({ info, answer }: Asked) => {
    const given = await answer
    if ("error" in given) throw given.error
    askedBytes -= info.bytes
    return { info, bytes: given.bytes }
  }
  for await (const info of listing) {
    for (let first = asked[0]; first !== undefined; first = asked[0]) {
      if (asked.length < mostObjects && askedBytes + info.bytes <= mostBytes) break
      asked.shift()
      yield await use(first)
    }
    ask(info)
  }
  for (let first = asked.shift(); first !== undefined; first = asked.shift()) yield await use(first)
}
