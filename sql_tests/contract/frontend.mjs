// A frontend's whole acquaintance with CHAS, through the gateway with supabase-js: every RPC a person may call.
// Prints what each RPC answered or refused, for test_contract.py to judge.
// Its environment: SUPABASE_URL, SUPABASE_ANON_KEY, and TOKENS, a JSON object {asha, bram, chloe, dara, zoe}.
import { createClient } from '@supabase/supabase-js'

const told = []
const tokens = JSON.parse(process.env.TOKENS)

function person(name) {
  const client = createClient(process.env.SUPABASE_URL, process.env.SUPABASE_ANON_KEY, {
    accessToken: async () => tokens[name],
  })
  const call = async (rpc, args = {}) => {
    const { data, error, status } = await client.rpc(rpc, args)
    told.push({ who: name, rpc, status, data, error: error && { ...error, details: error.details } })
    return data ?? error
  }
  return { client, call }
}

const [asha, bram, chloe, dara, zoe] = ['asha', 'bram', 'chloe', 'dara', 'zoe'].map(person)
const soon = (hours) => new Date(Date.now() + hours * 3600e3).toISOString()
// Where it is noon just now, so that no Sunset comes in between.
const hours = new Date().getUTCHours() - 12
const timezone = `Etc/GMT${hours > 0 ? '+' : ''}${hours || ''}`
const nobody = '00000000-0000-4000-8000-000000000000'

// Oneself.
await asha.call('get_access')
await zoe.call('get_access')
await zoe.call('get_me')
const me = await asha.call('get_me')
await asha.call('update_me', { display_name: 'Asha R.' })
await asha.call('update_me', { avatar_url: 'javascript:alert(1)' })
await asha.call('export_my_data')
const them = {}
for (const [name, who] of Object.entries({ bram, chloe, dara })) them[name] = (await who.call('get_me')).id

// A community of our own.
const founded = await asha.call('create_community', { name: 'Tea room', timezone, request_id: crypto.randomUUID() })
const community_id = founded.community.id
const invite_code = founded.community.invite_code
for (const who of [bram, chloe, dara]) await who.call('join_community', { invite_code: ` ${invite_code.toUpperCase()} ` })
await bram.call('join_community', { invite_code })
await bram.call('join_community', { invite_code: 'nosuchcode00' })
await asha.call('list_my_communities')
await asha.call('get_community', { community_id })
await asha.call('get_community', { community_id: nobody })
await asha.call('list_members', { community_id })
await asha.call('get_rules', { community_id })
await asha.call('update_community', { community_id, patch: { description: 'Leaves.', daily_cc_budget: 120 } })
await bram.call('update_community', { community_id, patch: { description: 'Mine.' } })
await asha.call('set_join_code', { community_id, open: true, expires_at: soon(24) })
await asha.call('set_council', { community_id, user_id: them.bram, granted: true })
await asha.call('set_council', { community_id, user_id: them.chloe, granted: true })
await asha.call('get_member_profile', { community_id, user_id: them.bram })
await asha.call('list_audit', { community_id })
await bram.call('list_audit', { community_id })

// The Chamber and the Gazette.
const { message } = await bram.call('send_message', { community_id, content: 'שלום 🍵 ' })
await bram.call('edit_message', { message_id: message.id, content: 'Good morning' })
await asha.call('edit_message', { message_id: message.id, content: 'No' })
await asha.call('mark_chamber_read', { community_id, message_id: message.id })
const joy = await asha.call('declare_joy', { community_id, title: 'First flush', cc_spent: 30 })
await asha.call('declare_joy', { community_id, title: 'Too much', cc_spent: 500 })
await asha.call('declare_joy', { community_id, title: ' ', cc_spent: 1 })
const declaration_id = joy.declaration.id
await bram.call('witness_declaration', { declaration_id })
await bram.call('witness_declaration', { declaration_id })
await asha.call('witness_declaration', { declaration_id })
await asha.call('get_declaration', { declaration_id })
await asha.call('list_gazette', { community_id, page_size: 10 })
await asha.call('list_messages', { community_id })
await asha.call('list_messages', { community_id, after_id: 0, before_id: 5 })
await asha.call('get_message', { message_id: joy.message.id })
await bram.call('delete_message', { message_id: message.id })
await asha.call('strike_message', { message_id: message.id, reason: 'Too early' })
await bram.call('strike_message', { message_id: message.id, reason: 'Revenge' })

// Money.
await asha.call('get_balance', { community_id })
await asha.call('list_ledger', { community_id, entry_type: 'declaration' })
await asha.call('audit_ledger', { community_id })
await asha.call('preview_dawn', { community_id })
const asked = await bram.call('request_borrow', { community_id, lender_id: me.id, amount: 20, reason: 'A teapot' })
await bram.call('request_borrow', { community_id, lender_id: me.id, amount: 20, reason: 'Another' })
await chloe.call('request_borrow', { community_id, lender_id: me.id, amount: 900, reason: 'A house' })
const borrow_request_id = asked.borrow_request.id
await bram.call('respond_borrow', { borrow_request_id, action: 'approved' })
await asha.call('respond_borrow', { borrow_request_id, action: 'approved', amount: 15 })
const again = await bram.call('request_borrow', { community_id, lender_id: them.chloe, amount: 5, reason: 'Cups' })
await bram.call('cancel_borrow', { borrow_request_id: again.borrow_request.id })
const { loans } = await bram.call('list_loans', { community_id, side: 'owed' })
await bram.call('repay_loan', { loan_id: loans[0].id, amount: 5 })
await asha.call('forgive_loan', { loan_id: loans[0].id })
const tip = await bram.call('propose_tip_to_tip', { community_id, title: 'A picnic', stake_amount: 10 })
await bram.call('propose_tip_to_tip', { community_id, title: 'A second', stake_amount: 1 })
const proposal_id = tip.proposal.id
await asha.call('vote_tip_to_tip', { proposal_id, vote: 'accept' })
await asha.call('vote_tip_to_tip', { proposal_id, vote: 'accept' })
await chloe.call('vote_tip_to_tip', { proposal_id, vote: 'accept' })
await dara.call('vote_tip_to_tip', { proposal_id, vote: 'accept' })
await dara.call('vote_tip_to_tip', { proposal_id, vote: 'accept' })
await asha.call('get_tip_to_tip', { proposal_id })
await asha.call('list_tip_to_tips', { community_id, status: 'completed' })
await asha.call('get_sunset', { community_id })

// Elections and honours.
const opened = await asha.call('create_election', { community_id, title: 'Who pours?', ends_at: soon(2) })
const election_id = opened.election.id
await bram.call('create_election', { community_id, title: 'Mine', ends_at: soon(2) })
await asha.call('get_active_election', { community_id })
await bram.call('vote_election', { election_id, candidate_id: them.chloe })
await dara.call('vote_election', { election_id, candidate_id: them.chloe })
await bram.call('vote_election', { election_id, candidate_id: nobody })
await asha.call('close_election', { election_id })
for (const who of [asha, chloe]) await who.call('vote_election', { election_id, candidate_id: them.bram })
await bram.call('vote_election', { election_id, candidate_id: them.bram })
await asha.call('close_election', { election_id })
await asha.call('vote_election', { election_id, candidate_id: them.bram })
const second = await asha.call('create_election', { community_id, title: 'And who sweeps?', ends_at: soon(2) })
await asha.call('cancel_election', { election_id: second.election.id, reason: 'Nobody does' })
await asha.call('get_election', { election_id })
await asha.call('list_elections', { community_id })
await asha.call('get_leaderboard', { community_id })
await asha.call('get_jashn', { community_id })
await asha.call('celebrate_jashn', { jashn_id: nobody, message: 'Hurrah' })
await asha.call('list_honours', { community_id })
await asha.call('get_edition', { community_id })
await asha.call('list_editions', { community_id })
await asha.call('verify_gazette', { community_id })
await asha.call('get_last_light', { community_id })

// Being away.
const inDays = (days) => new Date(Date.now() + days * 86400e3).toISOString().slice(0, 10)
await chloe.call('end_absence', { community_id })
await chloe.call('declare_absence', { community_id, from_day: inDays(20), to_day: inDays(21) })
await chloe.call('end_absence', { community_id })

// Notices.
const { notifications } = await asha.call('list_notifications', { unread_only: true })
await asha.call('mark_notification_read', { notification_id: notifications[0].id })
await asha.call('mark_all_notifications_read')
await asha.call('mute_notifications', { community_id, type: 'witnessed', muted: true })
await asha.call('mute_notifications', { community_id, type: 'borrow_request', muted: true })
await asha.call('list_mutes', { community_id })

// Going.
await asha.call('remove_member', { community_id, user_id: them.dara, reason: 'Spilled it all', ban: true })
await dara.call('join_community', { invite_code })
await dara.call('get_community', { community_id })
await asha.call('list_bans', { community_id })
await asha.call('lift_ban', { community_id, user_id: them.dara })
await asha.call('lift_ban', { community_id, user_id: them.dara })
await asha.call('ban_member', { community_id, user_id: them.dara, reason: 'Not yet' })
await chloe.call('leave_community', { community_id })
await asha.call('step_down', { community_id })
await bram.call('leave_community', { community_id })
await bram.call('leave_community', { community_id, successor_id: me.id })
await asha.call('audit_ledger', { community_id })

// No table is there, to read, to join or to write: nobody comes in but through a door.
const read = await asha.client.from('declarations').select('id').eq('community_id', community_id)
const joined = await asha.client.from('communities').select('*, chat_messages(content)')
const forged = await asha.client.from('declarations').update({ cc_spent: 1 }).eq('id', declaration_id)
told.push({
  who: 'tables', rpc: null, read: read.error.code, joined: joined.error.code, forged: forged.status,
})

console.log(JSON.stringify(told))
