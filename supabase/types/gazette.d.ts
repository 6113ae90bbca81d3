import type { ChainBreak, Edition, Uuid } from './database.js'

/** What a Gazette comes to: as verify_gazette answers, reckoned without the house. */
export type Proof = { holds: boolean, editions: number, taken_out: number, head: string | null, first_break: ChainBreak | null }

/** Recomputes all editions of a community, from number 1 on, as get_edition answers them. */
export function prove(community_id: Uuid, editions: Iterable<Edition> | AsyncIterable<Edition>): Promise<Proof>
