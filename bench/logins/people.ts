import pg from 'pg'
import type { Person } from '../contenders/contender.ts'

/**
 * Registers many people by copies of one, who keep that one's password: hashing it for each would take minutes.
 *
 * @returns the new ones.
 */
export async function addPeople(
  databaseUrl: string,
  { like, count }: { like: Person; count: number },
): Promise<Person[]> {
  const client = new pg.Client(databaseUrl)
  await client.connect()
  try {
    await client.query(
      `insert into account (sub, username, username_key, email, email_key, email_verified, profile, password_hash)
       select gen_random_uuid(), 'crowd-' || n, 'crowd-' || n, null, null, false, profile, password_hash
       from account, generate_series(0, $2::int - 1) n where username = $1`,
      [like.username, count],
    )
  } finally {
    await client.end()
  }
  return Array.from({ length: count }, (_, n) => ({ username: `crowd-${n}`, password: like.password }))
}
