// The living example of the contract: supabase-js, no build step. The local stack serves it, with the tokens of its
// seed members in people.json; the product never hands a token to anybody.

const POLL = 4000
const SHOWN = { chamber: 'Chamber', gazette: 'Gazette', ledger: 'Ledger', votes: 'Votes', sunset: 'Sunset', people: 'People', me: 'Me' }

const at = (id) => document.getElementById(id)
const house = await (await fetch('people.json', { cache: 'no-store' })).json()

let me // { name, token, client, id }
let here // the community, or null
let tab = 'chamber'
let timer
let drawn = ''

// ------------------------------------------------------------------ asking

class Refusal extends Error {
  constructor(code, message, facts) {
    super(message)
    this.code = code
    this.facts = facts ?? {}
  }
}

async function rpc(name, args = {}) {
  const { data, error } = await me.client.rpc(name, args)
  if (!error) return data
  let facts = {}
  try { facts = JSON.parse(error.details) } catch { /* not one of the house's own */ }
  throw new Refusal(error.code, error.message, facts)
}

async function edge(method, path, body) {
  const answer = await fetch(path, {
    method,
    headers: { authorization: `Bearer ${me.token}`, ...(body && { 'content-type': 'application/json' }) },
    body: body && JSON.stringify(body),
  })
  const said = await answer.json()
  if (!answer.ok) throw new Refusal(said.code, said.error, said.details)
  return said
}

// A money call sent twice by a shaky line happens once.
const once = () => ({ request_id: crypto.randomUUID() })

// ------------------------------------------------------------------ showing

function h(tag, props, ...children) {
  const node = Object.assign(document.createElement(tag), props)
  node.append(...children.flat().filter((child) => child != null && child !== false))
  return node
}

const hour = (moment) => new Date(moment).toLocaleString([], { weekday: 'short', hour: '2-digit', minute: '2-digit' })
const cc = (amount) => h('span', { className: 'coin' }, `${amount} CC`)
const name = (person) => h('span', { className: 'who' }, person?.display_name ?? 'The house')
const line = (left, right) => h('div', { className: 'row' }, left, right)
const empty = (words) => h('p', { className: 'faint' }, words)
const button = (words, act, className = '') => {
  const node = h('button', { type: 'button', className }, words)
  node.onclick = () => does(node, act)
  return node
}

function form(fields, words, act) {
  const inputs = Object.entries(fields).map(([field, props]) =>
    h('input', { name: field, required: true, autocomplete: 'off', ariaLabel: props.placeholder, ...props }))
  const send = h('button', {}, words)
  const node = h('form', {}, inputs, send)
  node.onsubmit = (event) => {
    event.preventDefault()
    const given = Object.fromEntries(inputs.map((input) =>
      [input.name, input.type === 'number' ? input.valueAsNumber : input.value]))
    does(send, async () => { await act(given); node.reset() })
  }
  return node
}

async function does(node, act) {
  node.disabled = true
  try {
    await act()
    await refresh()
  } catch (error) {
    tell(error)
  } finally {
    node.disabled = false
  }
}

// The code says what happened, the facts help; the words may change at any time.
function tell(said) {
  const { largest_possible: most, possible_at: when } = said.facts ?? {}
  const help = [
    most != null && `At most ${most} CC are possible now.`,
    when && `Possible again ${hour(when)}.`,
  ].filter(Boolean).join(' ')
  at('told').textContent = said instanceof Error ? `${said.message} ${help}` : said
  at('told').dataset.code = said.code ?? ''
  at('told').className = said instanceof Error ? '' : 'good'
  at('told').hidden = false
  clearTimeout(tell.timer)
  tell.timer = setTimeout(() => { at('told').hidden = true }, 6000)
}

// ------------------------------------------------------------------ the cards

function joy(one) {
  const mine = one.user.id === me.id
  return h('article', { className: mine ? 'mine' : '' },
    line(name(one.user), cc(one.cc_spent)),
    h('p', {}, h('strong', {}, one.title || 'Struck'), one.description && ` ${one.description}`),
    line(h('small', {}, `${hour(one.created_at)} · ${one.witnessed_count} ${one.witnessed_count === 1 ? 'witness' : 'witnesses'}`),
      !mine && !one.has_witnessed && button('Bear witness', () => rpc('witness_declaration', { declaration_id: one.id }), 'quiet')))
}

function tip(one) {
  const vote = (choice) => () => rpc('vote_tip_to_tip', { proposal_id: one.id, vote: choice })
  return h('article', {},
    line(name(one.proposer), cc(one.stake_amount)),
    h('p', {}, h('strong', {}, one.title || 'Struck'), one.description && ` ${one.description}`),
    h('small', {}, one.status === 'active'
      ? `Tip-to-tip until ${hour(one.deadline)}: ${one.electors - one.awaiting} of ${one.electors} have voted`
      : `Tip-to-tip, ${one.status}`),
    one.can_vote && h('div', { className: 'row' }, button('Accept', vote('accept')), button('Decline', vote('decline'), 'quiet')))
}

function borrow(one) {
  const answer = (action) => () => rpc('respond_borrow', { borrow_request_id: one.id, action })
  return h('article', {},
    line(h('span', {}, name(one.borrower), ' asks ', name(one.lender)), cc(one.amount)),
    h('p', {}, one.reason),
    h('small', {}, `Borrowing, ${one.status}`),
    one.status === 'pending' && one.lender.id === me.id &&
      h('div', { className: 'row' }, button('Lend', answer('approved')), button('Decline', answer('declined'), 'quiet')))
}

function election(one) {
  return h('article', {},
    h('h2', {}, one.title),
    h('small', {}, one.status === 'active'
      ? `Open until ${hour(one.ends_at)}: ${one.turnout} of ${one.electors} have voted`
      : `Over. ${one.winner ? `${one.winner.display_name} is moderator` : 'Nobody won'}`),
    h('table', {}, one.candidates.map((candidate) => h('tr', {},
      h('td', {}, name(candidate.user), one.my_vote === candidate.user.id && ' (your vote)'),
      h('td', {}, one.can_vote
        ? button('Vote', () => rpc('vote_election', { election_id: one.id, candidate_id: candidate.user.id }), 'quiet')
        : candidate.votes ?? '')))))
}

function message(one) {
  if (one.declaration) return joy(one.declaration)
  if (one.tip_to_tip) return tip(one.tip_to_tip)
  if (one.borrow_request) return borrow(one.borrow_request)
  if (one.election) return election(one.election)
  if (one.type === 'system') return h('article', { className: 'system' }, one.content)
  return h('article', { className: one.user.id === me.id ? 'mine' : '' },
    line(name(one.user), h('small', {}, hour(one.created_at))),
    h('p', {}, one.deleted ? h('small', {}, 'Taken back.') : one.content))
}

// ------------------------------------------------------------------ the rooms: what is asked, what is shown

const coins = { type: 'number', min: 1, placeholder: 'CC' }
const inside = () => ({ community_id: here.id })

const rooms = {
  chamber: {
    form: () => [
      form({ content: { placeholder: 'Say something', maxLength: 2000 } }, 'Say',
        (given) => rpc('send_message', { ...inside(), ...given })),
      form({ title: { placeholder: 'What was good?', maxLength: 120 }, cc_spent: coins }, 'Declare',
        (given) => rpc('declare_joy', { ...inside(), ...given, ...once() })),
    ],
    ask: () => rpc('list_messages', { ...inside(), page_size: 50 }),
    show: ({ messages }) => messages.toReversed().map(message),
    after: ({ messages }) => messages.length && rpc('mark_chamber_read', { ...inside(), message_id: messages.at(-1).id }),
  },
  gazette: {
    ask: () => rpc('list_gazette', { ...inside(), page_size: 50 }),
    show: ({ declarations }) => declarations.length ? declarations.map(joy) : [empty('No joy was declared yet.')],
  },
  ledger: {
    ask: async () => ({
      ledger: await rpc('list_ledger', { ...inside(), page_size: 50 }),
      audit: await rpc('audit_ledger', inside()),
    }),
    show: ({ ledger, audit }) => [
      h('article', {},
        line(h('h2', {}, audit.balanced ? 'The books balance' : 'The books do not balance'), null),
        h('small', {}, `minted ${audit.minted} = spent ${audit.spent} + forfeited ${audit.forfeited} + expired ${audit.expired}`
          + ` + purses ${audit.purses} + escrow ${audit.escrow}`)),
      h('article', {}, h('table', {}, ledger.entries.map((entry) => h('tr', {},
        h('td', {}, entry.description, h('br'), h('small', {}, hour(entry.created_at))),
        h('td', {}, h('span', { className: entry.amount > 0 ? 'plus' : '' }, entry.amount > 0 ? `+${entry.amount}` : entry.amount),
          h('br'), h('small', {}, `purse ${entry.balance_after}`)))))),
    ],
  },
  votes: {
    form: () => [form({ title: { placeholder: 'What all agree on', maxLength: 120 }, stake_amount: coins }, 'Propose',
      (given) => rpc('propose_tip_to_tip', { ...inside(), ...given, ...once() }))],
    ask: async () => ({
      open: (await rpc('get_active_election', inside())).election,
      tips: (await rpc('list_tip_to_tips', { ...inside(), page_size: 20 })).proposals,
    }),
    show: ({ open, tips }) => [open && election(open), ...tips.map(tip), !open && !tips.length && empty('Nothing to vote on.')],
  },
  sunset: {
    ask: () => rpc('get_sunset', inside()),
    show: ({ date, entries, total_expired: total }) => date
      ? [h('article', {}, h('h2', {}, `Lost at Sunset on ${date}`), h('table', {},
        entries.map((entry) => h('tr', {}, h('td', {}, name(entry.user)), h('td', {}, cc(entry.unspent_cc))))),
        h('p', {}, 'Together ', cc(total)))]
      : [empty('The first Sunset is still to come.')],
  },
  people: {
    ask: async () => ({
      members: (await rpc('list_members', inside())).members,
      board: await rpc('get_leaderboard', inside()),
      loans: (await rpc('list_loans', inside())).loans.filter((loan) => loan.outstanding),
    }),
    show: ({ members, board, loans }) => [
      here.invite_code && h('article', {}, h('small', {}, 'Whoever has this code may join: '), h('code', { id: 'join-code' }, here.invite_code)),
      h('article', {}, h('h2', {}, `The week from ${board.week_start}`), h('table', {}, board.entries.map((entry) => h('tr', {},
        h('td', {}, `${entry.rank}. `, name(entry.user)), h('td', {}, cc(entry.total_cc_spent)))))),
      ...members.map((member) => h('article', {},
        line(name(member.user), h('small', {}, member.roles.filter((role) => role !== 'member').join(', '))),
        member.user.id !== me.id && form(
          { amount: coins, reason: { placeholder: 'Because …', maxLength: 280 } }, 'Borrow',
          (given) => rpc('request_borrow', { ...inside(), lender_id: member.user.id, ...given, ...once() })))),
      ...loans.map((loan) => h('article', {},
        line(h('span', {}, name(loan.borrower), ' owes ', name(loan.lender)), cc(loan.outstanding)),
        loan.status === 'open' && h('div', { className: 'row' }, loan.borrower.id === me.id
          ? button('Repay 1 CC', () => rpc('repay_loan', { loan_id: loan.id, amount: 1, ...once() }), 'quiet')
          : loan.lender.id === me.id && button('Forgive', () => rpc('forgive_loan', { loan_id: loan.id }), 'quiet')))),
    ],
  },
  me: {
    form: () => [
      form({ display_name: { placeholder: 'Another name', maxLength: 80 } }, 'Rename', async (given) => {
        me.name = (await rpc('update_me', given)).display_name
        choose()
      }),
      button('Take my data along', save, 'quiet'),
      button('Leave this community', async () => { await rpc('leave_community', inside()); await enter() }, 'quiet'),
      ...farewell(),
    ],
    ask: () => rpc('list_notifications', { page_size: 20 }),
    show: ({ notifications }) => notifications.map((notice) => h('article', { className: notice.read ? '' : 'mine' },
      line(h('strong', {}, notice.title), h('small', {}, hour(notice.created_at))), notice.body && h('p', {}, notice.body),
      !notice.read && button('Read', () => rpc('mark_notification_read', { notification_id: notice.id }), 'quiet'))),
  },
}

async function save() {
  const text = JSON.stringify(await rpc('export_my_data'), null, 2)
  h('a', { href: URL.createObjectURL(new Blob([text])), download: 'chas.json' }).click()
}

function farewell() {
  return [form({ sure: { placeholder: `Write “${me.name}” to be sure`, pattern: me.name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&') } },
    'Erase my account', async () => {
      await edge('DELETE', '/account')
      tell(`${me.name} is a former member now.`)
      house.people = house.people.filter((person) => person.token !== me.token)
      choose()
      await become(house.people[0])
    })].map((node) => { node.lastChild.className = 'danger'; return node })
}

// ------------------------------------------------------------------ before there is a community

function outside(access) {
  here = null
  at('tabs').replaceChildren()
  at('purse').replaceChildren()
  at('list').replaceChildren()
  const code = { placeholder: 'The code', maxLength: 60 }
  at('form').replaceChildren(...(access.whitelisted || !access.whitelist_required
    ? [h('h2', {}, 'Join a community, or found one'),
      form({ invite_code: { ...code, placeholder: 'Join code (a moderator’s, under People)' } }, 'Join',
        async (given) => { await rpc('join_community', { ...given, ...once() }); await enter() }),
      form({ name: { placeholder: 'Name', maxLength: 50 } }, 'Found',
        async (given) => { await rpc('create_community', { ...given, timezone: Intl.DateTimeFormat().resolvedOptions().timeZone, ...once() }); await enter() })]
    : [h('h2', {}, `${me.name}, CHAS is by invitation`),
      empty('A steward mints an invite with: make steward DO=mint'),
      form({ invite_code: code }, 'Redeem', async ({ invite_code }) => {
        const { welcome_title, welcome_message } = await edge('POST', '/auth/invite/redeem', { invite_code })
        tell([welcome_title ?? 'Welcome!', welcome_message].filter(Boolean).join(' '))
        await enter()
      })]), ...farewell())
}

// ------------------------------------------------------------------ living

function purse(balance) {
  at('purse').className = balance.day_open ? '' : 'night'
  at('purse').replaceChildren(h('div', {},
    h('h2', {}, here.name), here.description && h('p', { className: 'faint' }, here.description),
    h('div', { className: 'row' },
      h('span', {}, h('span', { className: 'coins', id: 'remaining' }, balance.remaining), ' CC in the purse'),
      h('small', {}, balance.day_open ? `Sunset ${hour(balance.next_sunset_at)}` : `Closed until Dawn, ${hour(balance.next_dawn_at)}`)),
    h('progress', { max: balance.daily_budget, value: balance.remaining }),
    h('small', {}, `spent today ${balance.spent_today} · debt ${balance.debt} · ${balance.daily_budget} a day`)))
}

async function refresh() {
  if (!here) return
  const asked = here.id + tab
  const [{ balance }, shown] = await Promise.all([rpc('get_balance', inside()), rooms[tab].ask()])
  // Whoever went to another room meanwhile does not want this one's news.
  if (!here || asked !== here.id + tab) return
  const text = me.id + asked + JSON.stringify([balance, shown])
  if (text === drawn) return
  // What somebody is writing in a list is not taken from under them.
  if (at('list').contains(document.activeElement) && document.activeElement.value) return
  drawn = text
  purse(balance)
  at('list').replaceChildren(...rooms[tab].show(shown).filter(Boolean))
  await rooms[tab].after?.(shown)
}

async function go(to) {
  tab = to
  drawn = ''
  for (const node of at('tabs').children) node.toggleAttribute('aria-current', node.dataset.tab === tab)
  at('list').replaceChildren()
  at('form').replaceChildren(...(rooms[tab].form?.() ?? []))
  await refresh()
}

async function enter() {
  const access = await rpc('get_access')
  const admitted = access.whitelisted || !access.whitelist_required
  const { communities } = admitted ? await rpc('list_my_communities') : { communities: [] }
  listen(communities[0]?.id)
  if (!communities.length) return outside(access)
  here = communities[0]
  at('tabs').replaceChildren(...Object.entries(SHOWN).map(([key, words]) => {
    const node = h('button', { type: 'button' }, words)
    node.dataset.tab = key
    node.onclick = () => go(key).catch(tell)
    return node
  }))
  await go(tab)
}

// Live where there is Realtime; elsewhere the page asks again and again.
async function listen(community) {
  clearInterval(timer)
  const poll = () => {
    clearInterval(timer)
    at('live').textContent = `asks every ${POLL / 1000} s`
    timer = setInterval(() => document.hidden || refresh().catch(() => {}), POLL)
  }
  poll()
  const client = me.client
  // Leaving the last channel closes the socket: not while the next one is being joined.
  await client.removeAllChannels()
  if (!community || client !== me.client) return
  const channel = client.channel(`community:${community}`, { config: { private: true } })
    .on('broadcast', { event: '*' }, () => refresh().catch(() => {}))
    .subscribe((status) => {
      if (client !== me.client) return
      if (status === 'SUBSCRIBED') {
        clearInterval(timer)
        at('live').textContent = 'live'
      } else {
        poll()
        if (status !== 'CLOSED') client.removeChannel(channel).then(() => client.realtime.disconnect())
      }
    })
}

async function become(person) {
  document.body.dataset.ready = 'no'
  me?.client.removeAllChannels()
  const client = supabase.createClient(location.origin, house.key, { accessToken: async () => person.token })
  me = { ...person, client }
  drawn = ''
  at('who').value = String(house.people.indexOf(person))
  await enter().catch(tell)
  document.body.dataset.ready = 'yes'
}

function choose() {
  at('who').replaceChildren(...house.people.map((person, place) =>
    h('option', { value: place }, person.token === me?.token ? me.name : person.name)))
  at('who').value = String(house.people.findIndex((person) => person.token === me?.token))
}

at('who').onchange = () => become(house.people[at('who').value])
choose()
await become(house.people[0])
