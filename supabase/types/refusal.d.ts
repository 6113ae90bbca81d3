import type { NoFacts, RefusalCode, RefusalFacts } from './database.js'

/** What is no refusal of CHAS: the call was malformed, nobody answered, or the edge has a word of its own. */
export type OtherCode = 'MALFORMED' | 'UNAVAILABLE' | 'METHOD_NOT_ALLOWED' | 'BODY_TOO_LARGE' | 'INTERNAL_ERROR'

/** Told apart by `code`: after `no.code === 'INSUFFICIENT_CC'`, `no.facts.short_by` is a number. */
export type Refusal =
  | { [Code in RefusalCode]: { code: Code, message: string, facts: RefusalFacts[Code] } }[RefusalCode]
  | { code: OtherCode, message: string, facts: NoFacts }

/** Reads the error of an RPC, or the body of the edge's answer; null where there is none. Never throws. */
export function refusal(error: undefined | null): null
export function refusal(error: object | string): Refusal
export function refusal(error: unknown): Refusal | null
