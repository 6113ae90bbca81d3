// The other rooms of a community. Each says what it asks for and how it shows that; page.js does the rest.
import { inside, isMe, moderates, once, rpc, state } from './house.js'
import { ask, button, card, cc, date, day, drawer, faint, fold, form, h, hour, row, section, table } from './html.js'
import { amended, away, borrowing, declare, election, everyone, joy, name, others, proposal, spoken, times } from './cards.js'
import { chain, forgetChain } from './editions.js'

const coins = { name: 'amount', label: 'CC', type: 'number', min: 1, required: true }

// A form whose change asks the room anew: kept in `wanted` as long as one stays in the community.
const wanted = {}
const chooser = (label, key, options) => {
  const node = form(label, [{ name: key, label, value: wanted[key] ?? '', options }], 'Show',
    (given) => { wanted[key] = given[key] || null })
  node.className = 'chooser'
  return node
}
export const forget = () => {
  for (const key of Object.keys(wanted)) delete wanted[key]
  forgetChain()
}

// Pages of a list, the newest first; `Older` asks for the one before.
function pager(key, rows, page_size) {
  wanted[key] ??= page_size
  return {
    ask: (args) => rpc(key, { ...inside(), ...args, page_size: wanted[key] }),
    older: (page) => page.has_more && page[rows].length < 200 && row(button('Older', () => { wanted[key] = Math.min(wanted[key] + page_size, 200) }, { class: 'quiet' })),
  }
}

export const gazette = {
  title: 'Gazette',
  ask: async () => {
    const [joys, editions] = await Promise.all([
      pager('list_gazette', 'declarations', 20).ask({ author_id: wanted.author_id }),
      pager('list_editions', 'editions', 7).ask({}),
    ])
    return { joys, editions }
  },
  show: ({ joys, editions }) => [
    section('editions', 'Editions', editions.editions.length
      ? h('ul', { class: 'editions' }, editions.editions.map((one) => h('li', {},
        h('a', { href: `#/${state.here.id}/edition/${one.number}`, 'data-act': `Number ${one.number}` }, `Number ${one.number}`), ', ', day(one.day),
        h('small', {}, ` ${times(one.joys, 'joy')}, ${one.cc_spent} CC`))))
      : faint('The first Sunset of a day on which something happened makes the first.'),
    pager('list_editions', 'editions', 7).older(editions)),
    chain(),
    fold('declare', 'Declare a joy', declare()),
    chooser('Whose joys', 'author_id', [['', 'Everyone’s'], ...everyone(state.members)]),
    joys.declarations.map((one) => card(`joy-${one.id}`, joy(one))),
    !joys.declarations.length && faint('No joy was declared yet.'),
    pager('list_gazette', 'declarations', 20).older(joys),
  ],
}

export const purse = {
  title: 'Purse',
  ask: async () => {
    const [ledger, books, dawn, loans, sunset] = await Promise.all([
      pager('list_ledger', 'entries', 20).ask({ entry_type: wanted.entry_type }),
      // One proof at a time: another window of the same person may be asking for one just now.
      rpc('audit_ledger', inside()).catch((error) => {
        if (error.no?.code !== 'RATE_LIMITED') throw error
      }),
      rpc('preview_dawn', inside()),
      rpc('list_loans', { ...inside(), side: wanted.side || 'both' }),
      rpc('get_sunset', { ...inside(), day: wanted.day }),
    ])
    return { ledger, books, dawn, loans: loans.loans, sunset }
  },
  show: ({ ledger, books, dawn, loans, sunset }) => [
    section('dawn', 'The next Dawn', h('p', {}, `You wake with `, cc(dawn.wake_with), `: the grant of ${dawn.grant}`,
      dawn.repayments.map((one) => `, less ${one.amount} to ${one.lender.display_name}`),
      dawn.collections.map((one) => `, and ${one.amount} from ${one.borrower.display_name}`),
      dawn.refunds ? `, and ${dawn.refunds} of stakes` : '', '.')),
    section('borrow', 'Borrow', form('Borrow', [
      { name: 'lender_id', label: 'From', required: true, options: everyone(others()) },
      { ...coins, value: 5 },
      { name: 'reason', label: 'Because', required: true, maxlength: 280 },
    ], 'Ask', async (given) => { await once('request_borrow', { ...inside(), ...given }); return 'Asked. The request lapses at Sunset.' })),
    section('loans', 'Loans',
      chooser('Which loans', 'side', [['', 'All'], ['lent', 'What I lent'], ['owed', 'What I owe']]),
      loans.map((one) => h('div', { class: 'loan' },
        row(name(one.borrower), 'owes', name(one.lender), cc(one.outstanding), h('small', {}, one.status)),
        one.status === 'open' && form(`${isMe(one.borrower) ? 'Repay' : 'Forgive'} loan of ${one.amount} CC, ${one.id.slice(0, 4)}`,
          [{ ...coins, max: one.outstanding, value: one.outstanding }], isMe(one.borrower) ? 'Repay' : 'Forgive', (given) => isMe(one.borrower)
            ? once('repay_loan', { loan_id: one.id, ...given }).then(() => 'Repaid.')
            : rpc('forgive_loan', { loan_id: one.id, ...given }).then(() => 'Forgiven.'), { class: 'quiet' }))),
      !loans.length && faint('None.')),
    section('sunset', sunset.date ? ['Lost at Sunset, ', day(sunset.date)] : 'The first Sunset is still to come',
      sunset.date && [
        table('Lost at Sunset', ['Who', 'Unspent'], sunset.entries.map((entry) => [name(entry.user), cc(entry.unspent_cc)])),
        h('p', {}, 'Together ', cc(sunset.total_expired)),
      ],
      form('Another Sunset', [{ name: 'day', label: 'Another day', type: 'date', value: wanted.day }], 'Look', (given) => { wanted.day = given.day || null })),
    section('ledger', 'Your ledger', chooser('Which entries', 'entry_type', [['', 'All'], ...['daily_reset', 'declaration', 'borrow_given',
      'borrow_received', 'debt_repaid', 'debt_collected', 'tip_to_tip', 'stake_refund', 'stake_forfeit', 'expired', 'correction'].map((one) => [one, spoken(one)])]),
      faint(`Spent today ${ledger.summary.spent_today} CC, ever ${ledger.summary.total_spent_all_time} CC.`),
      table('Your ledger', ['What', 'CC', 'Purse'], ledger.entries.map((entry) => [
        [entry.description, h('br'), h('small', {}, hour(entry.created_at))],
        entry.amount > 0 ? h('span', { class: 'plus' }, `+${entry.amount}`) : entry.amount, entry.balance_after])),
      pager('list_ledger', 'entries', 20).older(ledger)),
    books && section('books', books.balanced ? 'The books balance' : 'The books do not balance', h('p', {},
      `minted ${books.minted} = spent ${books.spent} + forfeited ${books.forfeited} + expired ${books.expired}`
      + ` + purses ${books.purses} + escrow ${books.escrow}`)),
  ],
}

const ELECTORATES = [['council', 'the council and moderators'], ['members', 'all members']]

export const votes = {
  title: 'Votes',
  ask: async () => {
    const [open, tips, polls] = await Promise.all([
      rpc('get_active_election', inside()),
      pager('list_tip_to_tips', 'proposals', 20).ask({ status: wanted.status }),
      pager('list_elections', 'elections', 20).ask({}),
    ])
    // What is over is read once more when it ends: its tallies come with the close.
    return { open: open.election, tips, polls }
  },
  show: ({ open, tips, polls }) => [
    open && card(`election-${open.id}`, election(open)),
    fold('stake', 'Propose something all agree on', form('Propose', [
      { name: 'title', label: 'What all agree on', required: true, maxlength: 120 },
      { name: 'stake_amount', label: 'Stake, CC', type: 'number', min: 1, required: true, value: 5 },
      { name: 'description', label: 'More about it (if you like)', maxlength: 1000 },
    ], 'Propose', async (given) => { await once('propose_tip_to_tip', { ...inside(), ...given }); return 'Proposed: four hours for everyone to accept.' })),
    fold('amend', 'Amend the rules together', faint('What all accept takes force at the next Dawn, and no moderator sets it otherwise meanwhile. What is left empty stays.'),
      form('Propose an amendment', [
        { name: 'title', label: 'Why all should want it', required: true, maxlength: 120 },
        { name: 'stake_amount', label: 'Stake, CC', type: 'number', min: 1, required: true, value: 5 },
        { name: 'daily_cc_budget', label: 'CC a day', type: 'number', min: 10, max: 1000, placeholder: state.here.daily_cc_budget },
        { name: 'timezone', label: 'Time zone', placeholder: state.here.timezone },
        { name: 'electorate', label: 'Who elects', options: [['', 'as now'], ...ELECTORATES] },
      ], 'Propose it to all', async ({ title, stake_amount, ...changes }) => {
        const amendment = Object.fromEntries(Object.entries(changes).filter(([, value]) => value))
        await once('propose_tip_to_tip', { ...inside(), title, stake_amount, amendment })
        return `Proposed: ${amended(amendment)}.`
      })),
    !open && moderates() && section('poll', 'Open an election for moderator', form('Open an election', [
      { name: 'title', label: 'Title', required: true, maxlength: 120 },
      { name: 'days', label: 'Days', type: 'number', min: 1, max: 14, value: 3, required: true },
      { name: 'seat_rule', label: 'The winner', options: [['add', 'joins the moderators'], ['renew', 'takes their place']] },
    ], 'Open it', async ({ title, days, seat_rule }) => {
      await rpc('create_election', { ...inside(), title, seat_rule, ends_at: new Date(Date.now() + days * 864e5 - 6e4).toISOString() })
    })),
    chooser('Which proposals', 'status', [['', 'All'], ...['active', 'completed', 'declined', 'expired', 'withdrawn', 'void'].map((one) => [one, one])]),
    tips.proposals.map((one) => card(`tip-${one.id}`, proposal(one))),
    !tips.proposals.length && faint('No proposals.'),
    pager('list_tip_to_tips', 'proposals', 20).older(tips),
    polls.elections.filter((one) => one.id !== open?.id).map((one) => card(`election-${one.id}`, election(one), drawer('Look again', async () =>
      h('p', {}, 'Closed ', hour((await rpc('get_election', { election_id: one.id })).election.closed_at))))),
    pager('list_elections', 'elections', 20).older(polls),
  ],
}

const DECIDED = {
  only_one: 'Nobody else could be honoured.', total_cc_spent: 'Nobody spent less.', total_declarations: 'Nobody who spent as little declared more joys.',
  witnessed_received: 'Of equals, the more witnessed.', joined_at: 'Of equals, who came earlier.', user_id: 'Of equals in everything, one.',
}

export const week = {
  title: 'Week',
  ask: async () => {
    const given = { ...inside(), week_start: wanted.week_start }
    const [board, { jashn }, honours] = await Promise.all([
      rpc('get_leaderboard', given), rpc('get_jashn', given), pager('list_honours', 'honours', 10).ask({}),
    ])
    return { board, jashn, honours }
  },
  show: ({ board, jashn, honours }) => [
    section('board', ['The week from ', day(board.week_start)], board.entries.length ? table('The board', ['Rank', 'Who', 'CC', 'Joys', 'Witnessed', 'Days in a row'],
      board.entries.map((entry) => [`${entry.rank}.`, name(entry.user), entry.total_cc_spent, entry.total_declarations, entry.witnessed_received, entry.streak_days]))
      : faint('No joys in this week.'),
    board.most_restrained && h('p', {}, 'Most restrained so far: ', name(board.most_restrained)),
    form('Another week', [{ name: 'week_start', label: 'The week of', type: 'date', value: wanted.week_start }], 'Look', (given) => { wanted.week_start = given.week_start || null })),
    jashn ? section('jashn', 'Jashn-e-Chas', jashn.honored_user
      ? h('p', {}, name(jashn.honored_user), ' is honoured for joyful restraint in the week from ', day(jashn.week_start),
        `: ${times(jashn.total_declarations, 'joy')} for ${jashn.total_cc_spent} CC.`)
      : h('p', {}, 'Nobody was honoured for the week from ', day(jashn.week_start), '.'),
    jashn.reckoning.decided_by && faint(DECIDED[jashn.reckoning.decided_by]),
    table('The reckoning', ['Who', 'CC', 'Joys', 'Witnessed', 'Could be honoured'], jashn.reckoning.entries.map((entry) => [name(entry.user), entry.total_cc_spent,
      entry.total_declarations, entry.witnessed_received, entry.eligible ? 'yes' : 'no'])),
    jashn.celebrations.map((one) => h('blockquote', {}, h('p', {}, one.message), name(one.user))),
    jashn.honored_user && !isMe(jashn.honored_user) && form('Celebrate', [{ name: 'message', label: `A word to ${jashn.honored_user.display_name}`,
      required: true, maxlength: 280, value: jashn.celebrations.find((one) => isMe(one.user))?.message }], 'Celebrate',
    async (given) => { await rpc('celebrate_jashn', { jashn_id: jashn.id, ...given }); return 'They will read it.' }))
      : faint('No Jashn was held for this week.'),
    section('honours', 'Every Jashn', honours.honours.length ? [
      table('Every Jashn', ['The week from', 'Honoured', 'Words'], honours.honours.map((one) => [
        button(day(one.week_start), () => { wanted.week_start = one.week_start },
          { class: 'who', 'data-act': `Week ${one.week_start}` }),
        one.honored_user ? [name(one.honored_user), ` for ${one.total_cc_spent} CC`] : 'nobody', one.celebrations])),
      pager('list_honours', 'honours', 10).older(honours),
    ] : faint('The first is held on Sunday.')),
  ],
}

export const people = {
  title: 'People',
  ask: async () => (await rpc('list_members', inside())).members,
  show: (members) => {
    state.members = members
    return [members.map(member), section('away', 'Away', absence(members.find((one) => isMe(one.user)))),
      section('leave', 'Going', goodbye(members)), moderates() && section('bans', 'Who may not come back', bans())]
  },
}

function member(one) {
  const { user, roles } = one
  const council = roles.includes('council')
  return card(`member-${user.id}`,
    row(user.avatar_url && h('img', { src: user.avatar_url, alt: '', class: 'face' }), name(user),
      h('small', {}, roles.filter((role) => role !== 'member').join(', '), one.able === false && ' (cannot act now)',
        one.away && away(one.away))),
    moderates() && !isMe(user) && row(
      button(council ? 'Release from the council' : 'Call to the council', () => rpc('set_council', { ...inside(), user_id: user.id, granted: !council }), { class: 'quiet' }),
      button('Remove', async () => {
        const given = await ask(`Remove ${user.display_name}?`, { yes: 'Remove', danger: true, fields: [
          { name: 'reason', label: 'Because', required: true, maxlength: 280 },
          { name: 'ban', label: 'They may not come back', type: 'checkbox' }] })
        if (!given) return false
        await rpc('remove_member', { ...inside(), user_id: user.id, ...given })
        return `${user.display_name} was removed.`
      }, { class: 'quiet' })))
}

// Declared beforehand, and taken back as long as it is not over; the house says which days may be chosen.
function absence(mine) {
  return mine?.away
    ? row(h('span', {}, 'You are', away(mine.away), ': no grant, no roll, no Jashn of those weeks.'),
      button('I am here after all', () => rpc('end_absence', inside()).then(() => 'Your absence is over, or ends with today.'), { class: 'quiet' }))
    : [faint('From tomorrow on, for up to 14 days: no grant, no roll, no Jashn; debts wait on both sides.'),
      form('Be away', [{ name: 'from_day', label: 'From', type: 'date', required: true }, { name: 'to_day', label: 'To', type: 'date', required: true }],
        'Be away', (given) => rpc('declare_absence', { ...inside(), ...given }).then(() => 'All see it. Until it is over you may take it back.'))]
}

// The last moderator names who follows; whom one may name is asked for in both cases, and left out where nobody is needed.
function goodbye(members) {
  const heirs = [['', 'Nobody'], ...members.filter((one) => !isMe(one.user) && one.able !== false).map(({ user }) => [user.id, user.display_name])]
  const alone = moderates() && members.filter((one) => one.roles.includes('moderator')).length === 1 && heirs.length > 1
  const successor = alone && { name: 'successor_id', label: 'Moderator in your place', options: alone ? heirs.slice(1) : heirs }
  const sure = (question, words, yes) => ask(question, { words, yes, danger: true, fields: successor ? [successor] : [] })
  return row(
    moderates() && button('Step down as moderator', async () => {
      const given = await sure('Step down?', 'You stay a member.', 'Step down')
      if (!given) return false
      await rpc('step_down', { ...inside(), successor_id: given.successor_id || null })
    }, { class: 'quiet' }),
    button('Leave this community', async () => {
      const given = await sure(`Leave ${state.here.name}?`, 'Your purse expires at once, and a stake of yours is lost. What you owe sleeps until you return.', 'Leave')
      if (!given) return false
      const { expired } = await rpc('leave_community', { ...inside(), successor_id: given.successor_id || null })
      return `You left. ${expired} CC expired.`
    }, { class: 'danger' }))
}

function bans() {
  const node = drawer('Banned', async () => {
    const { bans: found } = await rpc('list_bans', inside())
    return found.length ? found.map((one) => h('div', { class: 'loan', 'data-key': `ban-${one.id}` },
      row(name(one.user), h('small', {}, 'since ', date(one.created_at), one.banned_by && ` by ${one.banned_by.display_name}`)), one.reason && h('p', {}, one.reason),
      row(button('Lift the ban', async () => {
        await rpc('lift_ban', { ...inside(), user_id: one.user.id })
        await node.again()
        return `${one.user.display_name} may come back.`
      }, { class: 'quiet', 'aria-label': `Lift the ban of ${one.user.display_name}` })))) : faint('Nobody.')
  })
  return node
}

const setting = (key, value) => key === 'electorate' ? Object.fromEntries(ELECTORATES)[value] : value
const SETTINGS = { daily_cc_budget: 'CC a day', timezone: 'Time zone', electorate: 'Who elects' }

export const rules = {
  title: 'House',
  ask: async () => {
    const [about, { in_force, pending, willed }] = await Promise.all([rpc('get_community', inside()), rpc('get_rules', inside())])
    return { community: about.community, members: about.members, in_force, pending, willed }
  },
  show: ({ community, members, in_force, pending, willed }) => [
    section('rules', 'In force', community.description && h('p', {}, community.description),
      table('Rules', ['What', 'Now', ['From the next Dawn, ', hour(state.here.balance.next_dawn_at)]], Object.entries(SETTINGS)
        .map(([key, words]) => [words, setting(key, in_force[key]), [setting(key, pending[key]), willed.includes(key) && h('small', {}, ' by the will of all')].filter(Boolean)])),
      faint(`${times(members.length, 'member')}, founded `, date(community.created_at))),
    moderates() && section('change', 'Change them', form('Change the rules', [
      { name: 'name', label: 'Name', required: true, maxlength: 50, value: in_force.name },
      { name: 'description', label: 'Description', maxlength: 200, value: in_force.description },
      { name: 'daily_cc_budget', label: 'CC a day', type: 'number', min: 10, max: 1000, required: true, value: pending.daily_cc_budget ?? in_force.daily_cc_budget },
      { name: 'timezone', label: 'Time zone', required: true, value: pending.timezone ?? in_force.timezone },
      { name: 'electorate', label: 'Who elects', options: ELECTORATES, value: pending.electorate ?? in_force.electorate },
    ].filter((one) => !willed.includes(one.name)), 'Change', async (given) => {
      const patch = Object.fromEntries(Object.entries(given).filter(([key, value]) => value !== (pending[key] ?? in_force[key])))
      if (!Object.keys(patch).length) return 'That is how it is already.'
      await rpc('update_community', { ...inside(), patch })
      return 'Changed: name and description now, the rest at the next Dawn.'
    }), willed.length > 0 && faint(`All have willed it: ${amended(Object.fromEntries(willed.map((key) => [key, pending[key] ?? in_force[key]])))}. `
      + 'No moderator sets that until the next Dawn.')),
    community.invite_code && section('code', 'The join code', h('p', {}, 'Whoever has it may join: ', h('code', { id: 'join-code' }, community.invite_code)),
      row(button('A new code', () => rpc('set_join_code', { ...inside(), rotate: true }).then(() => 'The old code lets nobody in any more.'), { class: 'quiet' }),
        button('Pause it', () => rpc('set_join_code', { ...inside(), open: false }).then(() => 'Nobody joins until it is open again.'), { class: 'quiet' }),
        button('Open it', () => rpc('set_join_code', { ...inside(), open: true }).then(() => 'Whoever has it may join.'), { class: 'quiet' })),
      form('When the code expires', [{ name: 'expires_at', label: 'It expires', type: 'datetime-local', required: true }], 'Set',
        (given) => rpc('set_join_code', { ...inside(), expires_at: new Date(given.expires_at).toISOString() }).then(() => 'Set.'))),
    moderates() && section('audit', 'What was done in office', drawer('The audit log', async () => {
      const { entries } = await rpc('list_audit', { ...inside(), page_size: 50 })
      return h('ul', {}, entries.map((entry) => h('li', {}, entry.sentence, ' ', h('small', {}, hour(entry.created_at)))))
    })),
  ],
}
