// What can stand in the Chamber and elsewhere: a joy, a request to borrow, a proposal, an election, a line.
import { inside, isMe, moderates, once, rpc, state } from './house.js'
import { ask, button, card, cc, date, day, drawer, faint, form, h, hour, row, show, table, tell } from './html.js'

export const times = (count, one, more = `${one}s`) => `${count} ${count === 1 ? one : more}`
export const spoken = (words) => words.replaceAll('_', ' ')

// A change of settings in words; beside what is in force now, where that is told.
const electors = (electorate) => electorate === 'council' ? 'the council and moderators' : 'all members'
const SETTINGS = {
  daily_cc_budget: (to, from) => `${to} CC a day${from ? ` instead of ${from}` : ''}`,
  timezone: (to, from) => `the hours of ${to}${from ? ` instead of ${from}` : ''}`,
  electorate: (to, from) => `elections by ${electors(to)}${from ? ` instead of ${electors(from)}` : ''}`,
}
export const amended = (amendment, now = {}) => Object.entries(amendment).map(([key, to]) => SETTINGS[key](to, now[key])).join(', ')

// A name opens who it is.
export function name(person) {
  return h('button', { type: 'button', class: 'who', 'data-act': `About ${person.display_name}`,
    click: () => about(person).catch((error) => tell(error.message)) }, person.display_name)
}

async function about(person) {
  const profile = await rpc('get_member_profile', { ...inside(), user_id: person.id })
  const best = profile.most_expensive_declaration
  const dialog = show(person.display_name, [
    person.avatar_url && h('img', { src: person.avatar_url, alt: '', class: 'face' }),
    faint(profile.left_at ? ['Here until ', date(profile.left_at)] : ['Here since ', date(profile.joined_at)]),
    table('Figures', ['What', 'How much'], [
      ['Joys declared', profile.total_declarations],
      ['Spent on them', `${profile.total_cc_spent} CC`],
      ['On average', `${profile.avg_cc_per_declaration} CC`],
      ['Days in a row with a joy', `${profile.current_streak} (at most ${profile.longest_streak})`],
      ['Bore witness', times(profile.witnessed_given, 'time')],
      ['Was witnessed', times(profile.witnessed_received, 'time')],
      ['Communities in common', profile.communities_shared],
    ]),
    best && h('p', {}, 'Dearest joy: ', h('strong', {}, best.title || 'struck'), ' for ', cc(best.cc_spent)),
    profile.left_at && moderates() && form('Ban from coming back', [
      { name: 'reason', label: 'Because', required: true, maxlength: 280 },
    ], 'Ban from coming back', async (given) => {
      await rpc('ban_member', { ...inside(), user_id: person.id, ...given })
      dialog.close()
      return `${person.display_name} may not come back.`
    }, { class: 'danger' }),
  ].filter(Boolean))
}

// Of whom one must not wait for, until when.
export function away({ from, to }) {
  return state.here.balance.day < from ? [' away from ', day(from), ' to ', day(to)] : [' away until ', day(to)]
}

export function joy(one) {
  return [
    row(name(one.user), cc(one.cc_spent), h('small', {}, hour(one.created_at))),
    h('h3', {}, one.title || 'Struck'),
    one.description && h('p', {}, one.description),
    one.image_url && h('img', { src: one.image_url, alt: '', loading: 'lazy' }),
    row(
      !isMe(one.user) && !one.has_witnessed && button('Bear witness',
        () => rpc('witness_declaration', { declaration_id: one.id }).then(() => `You bore witness to “${one.title}”.`), { class: 'quiet' }),
      one.has_witnessed && h('small', {}, 'You bore witness.'),
      one.witnessed_count ? drawer(times(one.witnessed_count, 'witness', 'witnesses'), async () => {
        const { witnesses } = await rpc('get_declaration', { declaration_id: one.id })
        return h('p', {}, witnesses.map((person) => [name(person), ' ']))
      }) : h('small', {}, 'No witness yet')),
  ]
}

export function borrowing(one) {
  const answer = (action, amount) => () => rpc('respond_borrow', { borrow_request_id: one.id, action, amount })
  const pending = one.status === 'pending'
  return [
    row(name(one.borrower), 'asks', name(one.lender), 'for', cc(one.amount)),
    one.reason && h('p', {}, one.reason),
    h('small', {}, pending ? 'It lapses at Sunset.' : `This request is ${one.status}.`),
    pending && isMe(one.lender) && form('Answer a request', [
      { name: 'amount', label: 'CC', type: 'number', min: 1, max: one.amount, value: one.amount, required: true },
    ], 'Lend', (given) => answer('approved', given.amount)(), { plain: true }),
    pending && isMe(one.lender) && row(button('Decline', answer('declined'), { class: 'quiet' })),
    pending && isMe(one.borrower) && row(button('Take it back', () => rpc('cancel_borrow', { borrow_request_id: one.id }), { class: 'quiet' })),
  ]
}

export function proposal(one) {
  const vote = (choice) => () => rpc('vote_tip_to_tip', { proposal_id: one.id, vote: choice })
  const outcome = { completed: 'Everyone accepted.', declined: 'Declined.', expired: 'Expired.', withdrawn: 'Withdrawn.', void: 'Void: the stake came back.' }
  return [
    row(name(one.proposer), 'stakes', cc(one.stake_amount), h('small', {}, hour(one.created_at))),
    h('h3', {}, one.title || 'Struck'),
    one.description && h('p', {}, one.description),
    one.amendment && h('p', { class: 'amendment' }, amendment(one)),
    one.status === 'active'
      ? h('small', {}, `${one.electors - one.awaiting} of ${one.electors} have voted; all must accept until `, hour(one.deadline))
      : h('small', {}, outcome[one.status]),
    one.can_vote && row(button('Accept', vote('accept')), button('Decline', vote('decline'), { class: 'quiet' })),
    drawer('Votes', async () => {
      const { proposal: { votes } } = await rpc('get_tip_to_tip', { proposal_id: one.id })
      return h('ul', {}, votes.map(({ user, vote: cast }) => h('li', {}, name(user), ` ${cast}s`)))
    }),
  ]
}

// What it would change, and when.
function amendment({ amendment: change, status }) {
  if (status === 'active') {
    return ['It amends the rules: ', h('strong', {}, amended(change, state.here)), '. If all accept it pends from then on, no moderator '
      + 'sets the same, and it takes force at the next Dawn: today that would be ', hour(state.here.balance.next_dawn_at), '.']
  }
  return status === 'completed'
    ? ['All willed it: ', h('strong', {}, amended(change)), ', from the Dawn after the last vote.']
    : ['It would have brought ', amended(change), '.']
}

export function election(one) {
  const open = one.status === 'active'
  const result = {
    completed: one.winner ? `${one.winner.display_name} won${one.seat_rule === 'renew' ? ' and is the only moderator' : ''}.` : 'Nobody voted, so nobody won.',
    cancelled: 'Called off.',
  }[one.status]
  return [
    h('h3', {}, one.title || 'An election'),
    h('small', {}, one.seat_rule === 'renew' ? 'The winner will be the only moderator. ' : 'The winner joins the moderators. ',
      open ? [`${one.turnout} of ${one.electors} have voted. It closes `, hour(one.ends_at), '.'] : result),
    open && one.can_vote && form(`Ballot: ${one.title}`, [
      { name: 'candidate_id', label: 'Candidate', value: one.my_vote, required: true, options: one.candidates.map(({ user }) => [user.id, user.display_name]) },
    ], one.my_vote ? 'Change my ballot' : 'Cast my ballot', async (given) => {
      await rpc('vote_election', { election_id: one.id, ...given })
      return 'Your ballot is in the box.'
    }, { plain: true }),
    open && one.my_vote && faint('Your ballot is in the box; it may be changed until the close.'),
    !open && one.status === 'completed' && table('Votes', ['Candidate', 'Votes'],
      one.candidates.map(({ user, votes }) => [name(user), votes ?? 0])),
    open && moderates() && row(
      button('Close it', () => rpc('close_election', { election_id: one.id }), { class: 'quiet' }),
      button('Call it off', async () => {
        const given = await ask('Call off this election?', { yes: 'Call it off', danger: true, fields: [
          { name: 'reason', label: 'Because', required: true, maxlength: 280 }] })
        if (!given) return false
        await rpc('cancel_election', { election_id: one.id, ...given })
      }, { class: 'quiet' })),
  ]
}

// The hour before Sunset: what the community is about to lose, and whose joy nobody has seen.
export function lastLight({ total, sunset_at, unwitnessed }) {
  return [
    h('p', {}, h('strong', {}, 'Last light. '), total ? [cc(total), ' of all purses expire at Sunset, ', hour(sunset_at), '.'] : 'No coin is left to expire.'),
    unwitnessed.map((one) => h('p', { class: 'row', 'data-key': one.id }, `“${one.title}” by `, name(one.user), `, for ${one.cc_spent} CC, is unwitnessed.`,
      !isMe(one.user) && button('Bear witness', () => rpc('witness_declaration', { declaration_id: one.id }).then(() => `You bore witness to “${one.title}”.`),
        { class: 'quiet', 'aria-label': `Bear witness to ${one.title}` }))),
  ]
}

// ------------------------------------------------------------------ a line of the Chamber

const CARDS = {
  declaration: (line) => joy(line.declaration),
  borrow_request: (line) => borrowing(line.borrow_request),
  tip_to_tip: (line) => proposal(line.tip_to_tip),
  election: (line) => [row(name(line.user), h('small', {}, 'opened an election')), election(line.election)],
}

export function line(one) {
  const key = `line-${one.id}`
  const gone = one.deleted && h('p', { class: 'faint' },
    one.struck_reason ? `Struck: ${one.struck_reason}` : one.struck_reason === null && 'This line is gone.')
  if (one.type === 'system') {
    const node = card(key, gone || h('p', {}, one.content), !one.deleted && more(one))
    node.className = 'system'
    return node
  }
  const node = CARDS[one.type]
    ? card(key, CARDS[one.type](one), one.struck_reason && gone, more(one))
    : card(key, row(name(one.user), h('small', {}, hour(one.created_at), one.edited_at && ' (edited)')),
      gone || h('p', { class: 'said' }, one.content), !one.deleted && more(one))
  if (one.user && isMe(one.user)) node.className = 'mine'
  return node
}

function more(one) {
  const own = one.type === 'message' && isMe(one.user)
  const young = Date.now() - Date.parse(one.created_at) < 15 * 60e3
  if (one.deleted || !own && !moderates()) return null
  return h('details', { class: 'more', 'data-act': 'More' }, h('summary', {}, 'More'), h('div', {},
    own && young && form('Edit this line', [{ name: 'content', label: 'Words', type: 'textarea', value: one.content, maxlength: 2000, required: true }],
      'Save', (given) => rpc('edit_message', { message_id: one.id, ...given }), { plain: true }),
    own && row(button('Delete', () => rpc('delete_message', { message_id: one.id }), { class: 'quiet' })),
    moderates() && form('Strike this line', [{ name: 'reason', label: 'Strike it, because', required: true, maxlength: 280 }],
      'Strike', (given) => rpc('strike_message', { message_id: one.id, ...given }), { class: 'quiet', plain: true })))
}

// What a listener is told of a new line.
export function said(one) {
  const who = one.user?.display_name
  switch (one.type) {
    case 'declaration': return `${who} declared a joy: ${one.declaration.title}, ${one.declaration.cc_spent} CC`
    case 'borrow_request': return `${who} asks ${one.borrow_request.lender.display_name} for ${one.borrow_request.amount} CC`
    case 'tip_to_tip': return `${who} stakes ${one.tip_to_tip.stake_amount} CC: ${one.tip_to_tip.title}`
    case 'election': return `${who} opened an election: ${one.election.title}`
    case 'system': return one.content
    default: return `${who}: ${one.content}`
  }
}

export const declare = () => form('Declare a joy', [
  { name: 'title', label: 'A joy', required: true, maxlength: 120, placeholder: 'The smell of rain' },
  { name: 'cc_spent', label: 'CC', type: 'number', min: 1, required: true, value: 5 },
  { name: 'description', label: 'More about it (if you like)', maxlength: 1000 },
  { name: 'image_url', label: 'A picture’s address (if you like)', type: 'url', maxlength: 2048 },
], 'Declare', async (given) => {
  await once('declare_joy', { ...inside(), ...given, image_url: given.image_url || null })
  return 'Declared.'
})

export const others = () => state.members.filter((member) => !isMe(member.user))
export const everyone = (members) => members.map(({ user }) => [user.id, user.display_name])
