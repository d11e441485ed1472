import { setFlagsFromString } from "node:v8"

/**
 * Has V8 work on one function at a time with its middle compiler, and forget each as soon as it is done.
 *
 * When a load begins, a thousand functions become hot within a second. By default two threads compile them, and what they
 * needed is freed by and by in the background: on busy processors hundreds of finished functions wait, tens of megabytes
 * of memory in small pieces, which the allocator does not give back to the system afterwards. One thread keeps up, as the
 * program that is being compiled needs a processor too.
 *
 * Postgres' parser is WebAssembly, and stays as V8's first compiler translates it. The optimizing one takes 25 MB for the one
 * large function of the grammar, which stay with the allocator, and parses no faster: 20 us a clause either way.
 * Source: V8, `flag-definitions.h`.
 *
 * For a process of our own only. Older versions of V8 are left alone: they do not know these flags, or do not use this compiler.
 */
export const limitCompilerMemory = (): void => {
  if (Number.parseInt(process.versions.v8, 10) < 13) return
  setFlagsFromString("--concurrent-maglev-max-threads=1")
  setFlagsFromString("--no-maglev-destroy-on-background")
  setFlagsFromString("--no-wasm-tier-up")
  setFlagsFromString("--no-wasm-dynamic-tiering")
}
