// Never run: the compiler reads it, to see that the types say what a frontend relies on, and stop its mistakes.
import { createClient } from '@supabase/supabase-js'
import type {
  Args, Balance, CommunityBroadcast, Database, Message, Notification, Person, Rows, ServiceDatabase, UserBroadcast,
} from './database.js'
import { refusal } from './refusal.js'

const url = 'http://127.0.0.1:54321'
const supabase = createClient<Database>(url, 'sb_publishable_local')
const service = createClient<ServiceDatabase>(url, 'sb_secret_local')

export async function declare(community_id: string): Promise<Balance | number> {
  const { data, error } = await supabase.rpc('declare_joy', {
    community_id, title: 'First rain', cc_spent: 20, image_url: null, request_id: crypto.randomUUID(),
  })
  const no = refusal(error)
  if (no?.code === 'INSUFFICIENT_CC') {
    // @ts-expect-error lacking coins names no field
    void no.facts.field
    const when: string | null = no.facts.possible_at
    void when
    return no.facts.short_by
  }
  if (no?.code === 'INVALID_INPUT') void no.facts.choices?.join()
  // @ts-expect-error no refusal is called so
  void (no?.code === 'INSUFICIENT_CC')
  if (!data) return 0

  const author: Person = data.declaration.user
  const left: number = data.balance.remaining
  const title: string = data.message.declaration.title
  // @ts-expect-error a purse counts in numbers
  const wrong: string = data.balance.remaining
  // @ts-expect-error a joy has no such key
  void data.declaration.price
  void [author, left, title, wrong]
  return data.balance
}

export async function mistakes(community_id: string, id: string): Promise<void> {
  // @ts-expect-error the title is missing
  await supabase.rpc('declare_joy', { community_id, cc_spent: 20 })
  // @ts-expect-error there is no such door
  await supabase.rpc('declare_sorrow', { community_id })
  // @ts-expect-error a misspelt vote
  await supabase.rpc('vote_tip_to_tip', { proposal_id: id, vote: 'accpet' })
  // @ts-expect-error one approved, or declined
  await supabase.rpc('respond_borrow', { borrow_request_id: id, action: 'approve' })
  // @ts-expect-error add or renew
  await supabase.rpc('create_election', { community_id, title: 'Who?', ends_at: '2026-03-08T18:00:00Z', seat_rule: 'all' })
  // @ts-expect-error a patch is an object of settings
  await supabase.rpc('update_community', { community_id, patch: 7 })
  // @ts-expect-error and of these settings only
  await supabase.rpc('update_community', { community_id, patch: { budget: 100 } })
  // @ts-expect-error council or members
  await supabase.rpc('update_community', { community_id, patch: { electorate: 'everybody' } })
  // @ts-expect-error lent, owed or both
  await supabase.rpc('list_loans', { community_id, side: 'borrowed' })
  // @ts-expect-error no entry is of this type
  await supabase.rpc('list_ledger', { community_id, entry_type: 'grant' })
  // @ts-expect-error no proposal is in this state
  await supabase.rpc('list_tip_to_tips', { community_id, status: 'open' })
  // @ts-expect-error requests addressed to oneself cannot be muted
  await supabase.rpc('mute_notifications', { community_id, type: 'borrow_request', muted: true })
  // @ts-expect-error a title is never null
  await supabase.rpc('declare_joy', { community_id, title: null, cc_spent: 20 })
  // @ts-expect-error rpc lets through what it does not know; Args does not
  await supabase.rpc('declare_joy', { community_id, title: 'Rain', cc_spent: 2, picture: url } satisfies Args<'declare_joy'>)
  // @ts-expect-error only the service role may
  await supabase.rpc('erase_user', { user_id: id })
  // @ts-expect-error no table is exposed
  void supabase.from('declarations')

  await supabase.rpc('list_tip_to_tips', { community_id, status: null })
  await supabase.rpc('update_community', { community_id, patch: { daily_cc_budget: 120 } })
  await service.rpc('erase_user', { user_id: id })
  await service.rpc('mint_invites', { theme: 'mint', email: null })
  // @ts-expect-error dawn, sunset, mint or ink
  await service.rpc('mint_invites', { theme: 'noon' })
  // @ts-expect-error a server speaks for itself, not for a member
  await service.rpc('declare_joy', { community_id, title: 'First rain', cc_spent: 20 })

  const { data: home } = await supabase.rpc('list_my_communities')
  const moderator: boolean = home?.communities[0]?.roles.includes('moderator') ?? false
  // @ts-expect-error nobody is called king
  void home?.communities[0]?.roles.includes('king')
  const { data: jashn } = await supabase.rpc('get_jashn', { community_id })
  // @ts-expect-error it may be null: none was held yet
  void jashn?.jashn.honored_user
  void moderator
}

export function line(message: Message): string {
  switch (message.type) {
    case 'declaration': return message.declaration.title
    case 'tip_to_tip': return message.tip_to_tip.status
    case 'message':
      // @ts-expect-error what somebody said has no card
      return message.declaration.title
    case 'system':
      if (message.deleted) return ''
      if (message.event === 'borrow_approved') {
        // @ts-expect-error nobody won anything
        void message.facts.winner_id
        return `${message.facts.amount} CC for ${message.facts.borrower_id}`
      }
      // @ts-expect-error no event is called so
      return message.event === 'borow_approved' ? '' : message.content
    default: return message.user.display_name
  }
}

export function notice(one: Notification): number {
  // @ts-expect-error a witness brings no coins
  if (one.event === 'joy_witnessed') return one.facts.amount
  return one.event === 'borrow_requested' ? one.facts.amount : one.count
}

export function hear(heard: CommunityBroadcast | UserBroadcast): number | string {
  switch (heard.event) {
    case 'message': return heard.payload.ids.message_id
    case 'balance': return heard.payload.ids.community_id
    case 'dawn':
      // @ts-expect-error a Dawn names its day, no message
      return heard.payload.ids.message_id
    // @ts-expect-error nothing of this name is broadcast
    case 'ballot': return ''
    default: return heard.payload.kind
  }
}

export function rows(community_id: string, show: (words: string) => void): void {
  const of = { schema: 'private', table: 'chat_messages', filter: `community_id=eq.${community_id}` } as const
  supabase.channel('rows').on<Rows['chat_messages']>('postgres_changes', { event: 'INSERT', ...of }, (change) => {
    show(change.new.content)
    // @ts-expect-error a line has no such column
    show(change.new.words)
  })
  // @ts-expect-error no election ends so
  const over: Rows['elections']['status'] = 'over'
  show(over)
  // @ts-expect-error balances are not published
  void (null as unknown as Rows['purses'])
}
