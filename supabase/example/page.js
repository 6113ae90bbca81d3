// A little frontend for CHAS: plain modules, supabase-js, no build. Where one is stands in the address
// (#/<community>/<room>, and which edition), so a reload, a bookmark and the browser's own arrows all work.
import { client, inside, listen, quiet, rpc, state } from './house.js'
import { after, at, fill, forgiveAll, h, hour, tell } from './html.js'
import { chamber } from './chamber.js'
import { edition } from './editions.js'
import { forget, gazette, people, purse, rules, votes, week } from './rooms.js'
import { lastLight } from './cards.js'
import { me, notices } from './me.js'
import { signIn, threshold, waiting } from './door.js'

const ROOMS = { chamber, gazette, edition, purse, votes, week, people, house: rules }
const OWN = { notices, me }
const main = at('main')
let unread = 0
let live = ''
let light = null // what the hour before Sunset tells
let shown = {} // the nodes of the room one is in
let why = ''

// ------------------------------------------------------------------ coming in

let entering = 0
client.auth.onAuthStateChange((event) => {
  // A session that is found again is told twice, in either order: whoever is just entering does not enter once more.
  const comes = ['INITIAL_SESSION', 'SIGNED_IN'].includes(event) && !state.me && !entering
  if (!comes && event !== 'SIGNED_OUT') return
  entering += 1
  // Not within the callback: the client waits for it, and calls of its own would wait for the client.
  setTimeout(() => enter().finally(() => { entering -= 1 }))
})

after.act = async () => { await refresh('done') }
after.lost = async () => {
  why = 'You were signed out: sign in again.'
  await client.auth.signOut({ scope: 'local' })
}

async function enter() {
  document.body.dataset.ready = 'no'
  try {
    const { data: { session } } = await client.auth.getSession()
    if (!session) return leave()
    const access = await rpc('get_access')
    if (access.whitelist_required && !access.whitelisted) {
      state.me = { id: session.user.id }
      return outside(() => waiting(main, enter))
    }
    state.me = await rpc('get_me')
    why = ''
    await count()
    await go()
  } catch (error) {
    if (error.no?.code === 'UNAUTHORIZED') return after.lost()
    fill(main, h('article', {}, h('h2', {}, 'CHAS does not answer'), h('p', {}, 'Perhaps it is just starting; this page asks again by itself.')))
    setTimeout(enter, 3000)
  } finally {
    document.body.dataset.ready = 'yes'
  }
}

async function leave() {
  await quiet()
  Object.assign(state, { me: null, here: null, communities: [], members: [], balance: null })
  outside(() => signIn(main, why))
}

function outside(show) {
  document.title = 'CHAS'
  fill(at('top'), h('h1', {}, 'CHAS'))
  fill(main, [])
  show()
}

// ------------------------------------------------------------------ where one is

function address() {
  const [, first, second, part] = location.hash.split('/')
  return OWN[first] || first === 'new' ? { own: first } : { id: first, room: ROOMS[second] ? second : 'chamber', part }
}

const path = (room, home = state.here) => home ? `#/${home.id}/${room}` : `#/${room}`

addEventListener('hashchange', async () => {
  if (!state.me?.email) return
  document.body.dataset.ready = 'no'
  try {
    await go()
    // Where one has gone on purpose is where the focus goes, too.
    main.querySelector('h2')?.focus({ preventScroll: true })
  } catch (error) {
    tell(error.message)
  }
  document.body.dataset.ready = 'yes'
})

let going = 0
async function go() {
  const mine = ++going
  const { own, id, room, part } = address()
  const before = state.here
  state.here = state.communities.find((one) => one.id === (own ? before?.id ?? localStorage.chasHere : id))
    ?? state.communities.find((one) => one.id === localStorage.chasHere) ?? state.communities[0] ?? null
  state.room = own ?? room
  state.part = part
  if (!state.here && !OWN[own]) state.room = 'new'
  if (state.here) localStorage.chasHere = state.here.id
  if (state.here?.id !== before?.id) {
    forget()
    state.members = state.here ? (await rpc('list_members', inside())).members : []
    hear()
  }
  if (mine !== going) return
  forgiveAll()
  header()
  fill(main, [])
  const place = (ROOMS[state.room] ?? OWN[state.room])
  if (!place) {
    document.title = 'CHAS'
    return threshold(main, arrived)
  }
  document.title = `${place.title}${OWN[state.room] ? '' : ` · ${state.here.name}`} · CHAS`
  light = null
  shown = { purse: h('section', { id: 'purse', 'aria-label': 'Purse' }), light: h('section', { id: 'light', 'aria-label': 'Last light' }), room: h('section', { id: 'room', class: state.room }) }
  main.append(...[state.here && !OWN[state.room] && [shown.purse, shown.light], h('h2', { tabindex: -1 }, place.title), shown.room].flat().filter(Boolean))
  await Promise.all([balance(), place.enter ? place.enter(shown.room) : draw(place, mine)])
  if (mine === going) settle(place)
}

async function draw(place, mine) {
  const data = await place.ask()
  if (mine === going) fill(shown.room, place.show(data))
}

async function arrived({ community }) {
  await count()
  location.hash = path('chamber', community)
}

// After a reload one is where one was; coming anew, the Chamber is read from its foot.
function settle(place) {
  const kept = sessionStorage.chasPlace?.split(' ')
  if (kept?.[0] === location.hash) scrollTo(0, Number(kept[1]))
  else if (place.foot) place.foot()
  else scrollTo(0, 0)
  delete sessionStorage.chasPlace
}
addEventListener('pagehide', () => { sessionStorage.chasPlace = `${location.hash} ${scrollY}` })

// ------------------------------------------------------------------ what is always there

function header() {
  const room = ROOMS[state.room]?.within ?? state.room
  const link = ([one, { title }]) => h('a', { href: path(one), 'data-act': title, 'aria-current': one === room && 'page' }, title)
  const homes = state.communities.map((one) => h('option', { value: one.id, selected: one.id === state.here?.id },
    one.name + (one.unread && one.id !== state.here?.id ? ` (${one.unread} new)` : '')))
  fill(at('top'), [
    h('h1', { 'data-key': 'h1' }, 'CHAS'),
    homes.length && h('label', { 'data-key': 'where' }, h('span', { class: 'unseen' }, 'Community'), h('select', { name: 'community',
      change: (event) => { location.hash = event.target.value === 'new' ? '#/new' : `#/${event.target.value}/chamber` } },
    homes, h('option', { value: 'new', selected: state.room === 'new' }, 'Join or found another …'))),
    h('small', { id: 'live', 'data-key': 'live' }, live),
    h('nav', { 'aria-label': 'Yours', 'data-key': 'own' },
      h('a', { href: '#/notices', 'data-act': 'Notices', 'aria-current': state.room === 'notices' && 'page' }, 'Notices',
        unread > 0 && h('span', { class: 'count' }, ` ${unread}`, h('span', { class: 'unseen' }, ' unread'))),
      h('a', { href: '#/me', 'data-act': 'Me', 'aria-current': state.room === 'me' && 'page' }, state.me.display_name)),
    state.here && h('nav', { 'aria-label': 'Rooms', id: 'tabs', 'data-key': 'rooms' }, Object.entries(ROOMS).filter(([, { within }]) => !within).map(link)),
  ])
}

// The hour before Sunset is told, not reckoned: this browser's clock may be wrong.
const LIT = ['poll', 'last_light', 'sunset', 'dawn']

async function balance(events = ['poll']) {
  if (!state.here || OWN[state.room]) return
  const here = state.here
  const asks = light || events.some((event) => LIT.includes(event))
  const [{ balance: one }, lit] = await Promise.all([rpc('get_balance', inside()), asks && rpc('get_last_light', inside())])
  if (here !== state.here) return
  state.balance = one
  if (lit) light = lit.last_light
  shown.purse.className = one.day_open ? '' : 'night'
  fill(shown.purse, [
    h('p', { class: 'holds' }, h('strong', { id: 'remaining' }, one.remaining), ' CC in the purse'),
    h('p', {}, one.day_open ? ['Sunset ', hour(one.next_sunset_at)] : ['Closed until Dawn, ', hour(one.next_dawn_at)]),
    h('p', { class: 'small' }, `${one.spent_today} spent today`, one.debt > 0 && `, ${one.debt} owed`, ` · ${one.daily_budget} a day`),
  ])
  fill(shown.light, light ? lastLight(light) : [])
}

async function count() {
  const [homes, inbox] = await Promise.all([rpc('list_my_communities'), rpc('list_notifications', { unread_only: true, page_size: 1 })])
  state.communities = homes.communities
  unread = inbox.unread
  if (state.here) state.here = state.communities.find((one) => one.id === state.here.id) ?? null
}

// ------------------------------------------------------------------ what comes by itself

function hear() {
  const topics = [`user:${state.me.id}`, ...(state.here ? [`community:${state.here.id}`] : [])]
  listen(topics, (event, ids) => {
    // A Dawn or a Sunset changes what is possible: what was refused before may succeed now.
    if (event === 'dawn' || event === 'sunset' || event === 'balance') forgiveAll()
    refresh(event, ids).catch(() => {})
  }, (words) => {
    live = words
    if (at('live')) at('live').textContent = words
  })
}

// One at a time, and what was asked for meanwhile once more at the end.
let busy = null
let again = []
function refresh(event = 'poll', ids = {}) {
  again.push([event, ids])
  busy ??= (async () => {
    try {
      while (again.length) {
        const asked = again
        again = []
        await renew(asked)
      }
    } finally {
      busy = null
    }
  })()
  return busy
}

async function renew(asked) {
  if (!state.me?.email) return
  const mine = going
  const was = state.here?.id
  await count()
  // Somebody left, or was removed: there is another place to be.
  if (was !== state.here?.id) {
    state.here = null
    if (location.hash !== '#/') location.hash = '#/'
    else await go()
    return
  }
  header()
  const place = ROOMS[state.room] ?? OWN[state.room]
  if (!place) return
  await balance(asked.map(([event]) => event))
  // One may have gone elsewhere meanwhile, and that room fills itself.
  if (mine !== going) return
  if (place.refresh) for (const [event, ids] of asked) await place.refresh(event, ids)
  else await draw(place, mine)
}

addEventListener('online', () => refresh().catch(() => {}))
document.addEventListener('visibilitychange', () => document.hidden || refresh().catch(() => {}))
