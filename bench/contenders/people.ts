import pg from 'pg'
import type { Person } from './contender.ts'

/** Registers people as copies of one account with its password hash; hashing each password could take minutes. */
export async function copyPerson(
  databaseUrl: string,
  { like, people }: { like: Person; people: readonly Person[] },
): Promise<void> {
  const client = new pg.Client(databaseUrl)
  await client.connect()
  try {
    await client.query(
      `insert into account (sub, username, username_key, email, email_key, email_verified, profile, password_hash)
       select gen_random_uuid(), name, name, name || '@example.com', name || '@example.com', email_verified, profile, password_hash
       from account, unnest($2::text[]) name where username = $1`,
      [like.username, people.map(({ username }) => username)],
    )
  } finally {
    await client.end()
  }
}
