import { Context, Effect, References, type Tracer } from "effect"

/**
 * `work` below a span of this name, where traces are wanted. Where they are not, Effect would all the same take down from where it was
 * called, each time, and hand the span that is none to everything below: for work that is done thousands of times a second.
 */
export const traced = <A, E, R>(
  name: string,
  work: Effect.Effect<A, E, R>
): Effect.Effect<A, E, Exclude<R, Tracer.ParentSpan>> =>
  Effect.withFiber<A, E, Exclude<R, Tracer.ParentSpan>>((fiber) =>
    Context.get(fiber.context, References.TracerEnabled)
      ? Effect.withSpan(work, name)
      : (work as Effect.Effect<A, E, Exclude<R, Tracer.ParentSpan>>)
  )
