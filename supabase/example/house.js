// Asking CHAS: one client, one way to call, one way to read what was refused, and what is heard live.
import { refusal } from './refusal.js'

export const settings = await (await fetch('settings.json', { cache: 'no-store' })).json()
export const client = supabase.createClient(location.origin, settings.key)

// Who one is and where: filled in by page.js, read by every room.
export const state = { me: null, communities: [], here: null, members: [], balance: null, room: 'chamber' }
export const inside = () => ({ community_id: state.here.id })
export const moderates = () => state.here.roles.includes('moderator')
export const isMe = (person) => person?.id === state.me.id

export class Refused extends Error {
  constructor(no) {
    super(no.message)
    this.no = no
  }
}

export async function rpc(name, args = {}) {
  const { data, error } = await client.rpc(name, args)
  if (error) throw new Refused(refusal(error))
  return data
}

// The edge has no library: an address, the person's token, JSON both ways.
export async function edge(method, path, body) {
  const { data: { session } } = await client.auth.getSession()
  let answer, said
  try {
    answer = await fetch(path, {
      method,
      headers: { authorization: `Bearer ${session?.access_token}`, ...(body && { 'content-type': 'application/json' }) },
      body: body && JSON.stringify(body),
    })
    said = await answer.json()
  } catch (error) {
    throw new Refused(refusal(error))
  }
  if (!answer.ok) throw new Refused(refusal(said))
  return said
}

// A call that was cut off may have happened. The same words sent again go with the same request_id, and happen once.
const tries = new Map()
export async function once(name, args) {
  const key = name + JSON.stringify(args)
  if (!tries.has(key)) tries.set(key, crypto.randomUUID())
  try {
    const answer = await rpc(name, { ...args, request_id: tries.get(key) })
    tries.delete(key)
    return answer
  } catch (error) {
    if (error.no?.code !== 'UNAVAILABLE') tries.delete(key)
    throw error
  }
}

// The code says what happened, the facts help; the words may change at any time.
export function explain(error) {
  if (!error.no) return error.message
  const { code, message, facts } = error.no
  if (code === 'UNAVAILABLE') return 'CHAS does not answer just now. Try again: nothing is done twice.'
  return [
    message,
    facts.largest_possible != null && `At most ${facts.largest_possible} is possible now.`,
    facts.region && `Perhaps ${facts.region}?`,
    facts.retry_after != null && `Try again in ${facts.retry_after} seconds.`,
    facts.possible_at && facts.retry_after == null &&
      `Possible from ${new Date(facts.possible_at).toLocaleString([], { weekday: 'long', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' })} on.`,
  ].filter(Boolean).join(' ')
}

// Live where there is Realtime; elsewhere, and until it is there, the page asks every few seconds.
const POLL = 5000
let timer

export async function listen(topics, heard, says) {
  const poll = () => {
    clearInterval(timer)
    says('asking every few seconds')
    timer = setInterval(() => document.hidden || heard('poll', {}), POLL)
  }
  await quiet()
  poll()
  await client.realtime.setAuth()
  const joined = new Set()
  for (const topic of topics) {
    client.channel(topic, { config: { private: true } })
      .on('broadcast', { event: '*' }, ({ event, payload }) => heard(event, payload.ids))
      .subscribe((status) => {
        if (status === 'SUBSCRIBED') joined.add(topic)
        else joined.delete(topic)
        if (joined.size < topics.length) return status === 'CLOSED' || poll()
        clearInterval(timer)
        says('live')
        // Whoever was away heard nothing: after every joining one asks for what came meanwhile.
        heard('poll', {})
      })
  }
}

export async function quiet() {
  clearInterval(timer)
  await client.removeAllChannels()
}
