// The Gazette's editions: each a small newspaper, to be read, proved and printed (RULES 15).
import { prove } from './gazette.js'
import { inside, rpc, state } from './house.js'
import { button, card, day, faint, h, row } from './html.js'
import { amended, name, times } from './cards.js'

const path = (number) => `#/${state.here.id}/edition/${number}`

export const edition = {
  title: 'Edition',
  within: 'gazette',
  ask: async () => {
    const number = Number(state.part) || null
    const [paper, { editions: [newest] }] = await Promise.all([
      rpc('get_edition', { ...inside(), number }).catch((error) => {
        if (error.no?.code !== 'NOT_FOUND') throw error
        return { edition: null }
      }),
      rpc('list_editions', { ...inside(), page_size: 1 }),
    ])
    return { one: paper.edition, newest: newest?.number ?? 0 }
  },
  show: ({ one, newest }) => [
    h('nav', { 'aria-label': 'Editions', class: 'leaf', 'data-key': 'leaf' },
      one?.number > 1 && h('a', { href: path(one.number - 1), 'data-act': 'Before' }, `← Number ${one.number - 1}`),
      h('a', { href: `#/${state.here.id}/gazette`, 'data-act': 'All' }, 'All editions'),
      one && one.number < newest && h('a', { href: path(one.number + 1), 'data-act': 'After' }, `Number ${one.number + 1} →`),
      one && button('Print', () => { print(); return false }, { class: 'quiet' })),
    one ? paper(one) : faint(newest ? 'There is no such edition.' : 'The first Sunset of a day on which something happened makes the first edition.'),
  ],
}

function paper(one) {
  const known = new Map(one.people.map((person) => [person.id, person]))
  const who = (id) => known.has(id) ? name(known.get(id)) : 'somebody'
  const items = one.items.map(({ kind, content }) => ({ kind, ...(content === null ? { gone: true } : JSON.parse(content)) }))
  // What most bore witness to leads; of equals the dearest, and of these the first.
  const joys = items.filter((item) => item.kind === 'declaration' && !item.gone)
    .sort((a, b) => b.witnessed - a.witnessed || b.cc_spent - a.cc_spent)
  const gone = items.filter((item) => item.gone)
  const notes = items.filter((item) => !item.gone && item.kind !== 'declaration' && item.kind !== 'sunset')
  const story = (joy, props = {}) => h('section', props,
    h('h4', {}, joy.title || 'Without words'),
    h('p', { class: 'byline' }, 'by ', who(joy.author_id), `, for ${joy.cc_spent} CC. `,
      joy.witnessed ? `Before ${times(joy.witnessed, 'witness', 'witnesses')}.` : 'Nobody bore witness.'),
    joy.description && h('p', {}, joy.description))
  const node = card(`edition-${one.number}`,
    h('p', { class: 'kicker' }, 'The Gazette of'),
    h('h3', {}, state.here.name),
    h('p', { class: 'folio' }, h('span', {}, `Number ${one.number}`), day(one.day, { weekday: 'long', day: 'numeric', month: 'long', year: 'numeric' }),
      h('span', {}, `${times(one.totals.joys, 'joy')}, ${one.totals.cc_spent} CC`)),
    joys[0] && story(joys[0], { class: 'lead' }),
    joys.length > 1 && h('div', { class: 'columns' }, joys.slice(1).map((joy) => story(joy))),
    notes.length > 0 && h('section', { class: 'notes' }, h('h4', {}, joys.length ? 'Also on this day' : 'On this day'),
      h('ul', {}, notes.map((item) => h('li', {}, NOTES[item.kind](item, who))))),
    gone.length > 0 && faint(`${times(gone.length, 'item')} stood here: struck, or gone with who wrote them. Their digests stay.`),
    h('p', { class: 'sunset' }, one.totals.expired ? `At Sunset ${one.totals.expired} CC expired, unspent.` : 'At Sunset nothing was left unspent.'),
    h('p', { class: 'digest' }, 'Digest ', h('code', {}, one.digest),
      one.previous_digest ? [', after ', h('code', {}, one.previous_digest)] : ', the first of its chain'))
  node.className = 'paper'
  return node
}

const OUTCOMES = {
  completed: 'All accepted', declined: 'It was declined', expired: 'It expired', withdrawn: 'It was withdrawn', void: 'It was void',
}

const NOTES = {
  joined: (item, who) => [who(item.user_id), { founded: ' founded the community.', returned: ' came back.' }[item.how] ?? ' joined.'],
  left: (item, who) => [who(item.user_id), item.how === 'removed' ? ' was removed.' : ' left.'],
  loan: (item, who) => [who(item.lender_id), ` lent ${item.amount} CC to `, who(item.borrower_id), '.'],
  forgiveness: (item, who) => [who(item.lender_id), ' forgave ', who(item.borrower_id), ` ${item.amount} CC.`],
  proposal: (item, who) => [who(item.proposer_id), ` staked ${item.stake_amount} CC on “${item.title || 'words that were taken out'}”. ${OUTCOMES[item.outcome]}`,
    item.amendment && ` (${amended(item.amendment)})`, '.'],
  election: (item, who) => [`The election “${item.title || 'whose title was taken out'}” `,
    item.outcome === 'cancelled' ? 'was called off.' : item.winner_id ? [who(item.winner_id), ' won.'] : 'had no winner.'],
  jashn: (item, who) => item.user_id
    ? ['The Jashn honoured ', who(item.user_id), ` for joyful restraint: ${times(item.total_declarations, 'joy')} for ${item.total_cc_spent} CC.`]
    : 'The Jashn found nobody to honour.',
}

// ------------------------------------------------------------------ the chain

const BREAKS = {
  edition_missing: 'that edition is missing', edition_changed: 'that edition was changed', item_missing: 'an item is missing',
  item_changed: 'an item was changed', item_taken_out: 'an item was taken out without a strike or an erasure',
}

// What was found the last time one asked, in the community one is in.
let found = null
export const forgetChain = () => { found = null }

const short = (digest) => h('code', { title: digest }, `${digest.slice(0, 8)}…`)

export function chain() {
  return card('chain', h('h3', {}, 'The chain of editions'),
    faint('Each edition’s digest is made of the one before. Whoever keeps the last can prove that nothing before it was rewritten.'),
    found && h('p', { id: 'chain', class: found.holds ? 'holds' : 'wrong' }, found.holds
      ? [`The chain holds: ${times(found.editions, 'edition')}`, found.head && [', head ', short(found.head)]]
      : ['The chain breaks at ', h('a', { href: path(found.first_break.number) }, `number ${found.first_break.number}`),
        found.first_break.position && `, item ${found.first_break.position}`, `: ${BREAKS[found.first_break.why]}.`]),
    found && h('p', {}, found.said, found.taken_out > 0 && ` ${times(found.taken_out, 'item')} taken out, for a strike or an erasure.`),
    row(button('Does the chain hold?', () => verify(asked), { class: 'quiet' }),
      button('Reckon it here', () => verify(reckoned), { class: 'quiet' })))
}

async function verify(by) {
  const { said, ...proof } = await by()
  found = { ...proof, said: [said, proof.holds && await sinceLastTime(proof)].filter(Boolean).join(' ') }
  return proof.holds ? 'The chain holds.' : 'The chain is broken.'
}

// The house recomputes, 400 editions a call.
async function asked() {
  const whole = { holds: true, editions: 0, taken_out: 0, said: 'So says the house.' }
  for (let from_number = 1; from_number && whole.holds;) {
    const part = await rpc('verify_gazette', { ...inside(), from_number })
    Object.assign(whole, part, { editions: whole.editions + part.editions, taken_out: whole.taken_out + part.taken_out })
    from_number = part.next_number
  }
  return whole
}

// This browser recomputes, and believes nobody.
async function reckoned() {
  const { editions: [newest] } = await rpc('list_editions', { ...inside(), page_size: 1 })
  const proof = await prove(state.here.id, (async function* () {
    for (let number = 1; number <= (newest?.number ?? 0); number += 1) {
      yield (await rpc('get_edition', { ...inside(), number })).edition
    }
  })())
  return { ...proof, said: 'So this browser reckoned it, from the editions alone.' }
}

// A head one has kept vouches for all that lay before it.
async function sinceLastTime({ editions, head }) {
  const place = `chasHead ${state.here.id}`
  const kept = JSON.parse(localStorage[place] ?? 'null')
  const stands = !kept || kept.number <= editions
    && (await rpc('get_edition', { ...inside(), number: kept.number })).edition.digest === kept.head
  if (head && stands) localStorage[place] = JSON.stringify({ number: editions, head })
  if (!kept || kept.number === editions && stands) return ''
  return stands ? `Number ${kept.number} is as it was when you last looked.` : `But number ${kept.number} is not what it was when you last looked.`
}
