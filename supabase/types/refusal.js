// Reads any error of CHAS, and never throws. Copy this file, or import it; refusal.d.ts types it by code.
//
// supabase.rpc answers { data, error }; the edge answers { error, code, details }. What CHAS refuses has a code of its
// own and facts. What PostgREST, Postgres or the network say instead becomes one of three:
//   UNAUTHORIZED  the token is missing, expired or not to be read: sign in again
//   MALFORMED     no such call, or an argument that is not even of its type: a mistake in the frontend
//   UNAVAILABLE   nobody answered, or somebody in between: try again later

export function refusal(error) {
  if (error === null || error === undefined) return null
  const code = typeof error.code === 'string' ? error.code : ''
  const message = [error.message, error.error, error].find((words) => typeof words === 'string') ?? ''
  return { code: named(code, message), message, facts: facts(error.details) }
}

function named(code, message) {
  if (/^PGRST30[0-3]$/.test(code) || code === '42501') return 'UNAUTHORIZED'
  if (/^PGRST00/.test(code) || /^(08|53|57|58)\w{3}$/.test(code)) return 'UNAVAILABLE'
  if (/^PGRST\w+$/.test(code) || /^[0-9A-Z]{5}$/.test(code)) return 'MALFORMED'
  if (/^[A-Z]+(_[A-Z]+)*$/.test(code)) return code
  return /No API key/.test(message) ? 'UNAUTHORIZED' : 'UNAVAILABLE'
}

// A string that holds JSON where PostgREST answers, an object where the edge does, a sentence from anybody else.
function facts(details) {
  let found = details
  if (typeof details === 'string') {
    try { found = JSON.parse(details) } catch { found = null }
  }
  return found !== null && typeof found === 'object' && !Array.isArray(found) ? found : {}
}
