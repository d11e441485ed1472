/**
 * What instances promise each other about the connection that holds, or waits for, the lock. Peers judge by it whether
 * a holder is alive (`LockVerdict.ts`), so changing any of this concerns versions that run side by side during a deploy.
 */

/** Marks our walsenders among all others. */
export const applicationName = "baton"
