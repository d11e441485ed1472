import type { FoldJob, FoldOutput } from "./FoldWork.ts"

/** What a fold asks for while it works: room beside memory, and to be told when to go on. */
export type FoldRequest =
  | { readonly does: "append"; readonly list: number; readonly bytes: Uint8Array }
  /** The next piece of a list that is read; `false` begins anew. The answer has no bytes at its end. */
  | { readonly does: "read"; readonly list: number; readonly goesOn: boolean; readonly pieceBytes: number }
  | { readonly does: "remove"; readonly list: number }
  | { readonly does: "rest" }

/** Jobs have numbers that rise; what is about an older one than the last is nobody's any more. */
export type ToFoldThread = { readonly job: number } & (
  | { readonly begins: FoldJob }
  | { readonly adds: Uint8Array }
  /** The next output is wanted. */
  | { readonly wants: "output" }
  /** To the request that has been made. */
  | { readonly answer: Uint8Array | undefined }
  /** All of it may be forgotten. */
  | { readonly ends: true }
)

export type FromFoldThread =
  /** The first one: the thread has begun, from files that may have been replaced since this process was started. */
  | { readonly release: string }
  | ({ readonly job: number } & (
      | { readonly added: true }
      /** `undefined` behind the last one. `heapBytes`: what the thread has of memory by then, in use or not. */
      | { readonly output: FoldOutput | undefined; readonly heapBytes: number }
      | { readonly requests: FoldRequest }
      | { readonly failed: string }
    ))
