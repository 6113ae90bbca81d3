// Never run: the compiler reads it, to see that the types say what a frontend relies on.
import { createClient } from '@supabase/supabase-js'
import type { Balance, Database, Person, RefusalCode } from './database'

export async function declare(community_id: string): Promise<Balance | RefusalCode> {
  const supabase = createClient<Database>('http://127.0.0.1:54321', 'sb_publishable_local')
  const { data, error } = await supabase.rpc('declare_joy', {
    community_id, title: 'First rain', cc_spent: 20,
  })
  if (error) return error.code as RefusalCode

  const author: Person = data.declaration.user
  const words: string = data.message.content
  const left: number = data.balance.remaining
  // @ts-expect-error a purse counts in numbers
  const wrong: string = data.balance.remaining
  // @ts-expect-error a joy has no such key
  void data.declaration.price
  void [author, words, left, wrong]

  // @ts-expect-error the title is missing
  await supabase.rpc('declare_joy', { community_id, cc_spent: 20 })
  // @ts-expect-error there is no such door
  await supabase.rpc('declare_sorrow', { community_id })

  const { data: home } = await supabase.rpc('list_my_communities')
  const first = home?.communities[0]
  const moderator: boolean = first?.roles.includes('moderator') ?? false
  // @ts-expect-error nobody is called king
  void first?.roles.includes('king')
  const { data: jashn } = await supabase.rpc('get_jashn', { community_id })
  // @ts-expect-error it may be null: none was held yet
  void jashn?.jashn.honored_user
  // @ts-expect-error no table is exposed
  void supabase.from('declarations')
  void moderator
  return data.balance
}
