import { expect, test } from 'vitest'
import { commandsIn } from './shell.ts'

test.for<[string, string[][]]>([
  [
    `npx sallyport users create --username ada`,
    [['npx', 'sallyport', 'users', 'create', '--username', 'ada']],
  ],
  [
    `a --name "Harbour TV" \\\n  --scope 'read write' # why`,
    [['a', '--name', 'Harbour TV', '--scope', 'read write']],
  ],
  [`a --json | b -c > d.json`, [['a', '--json'], ['b', '-c'], ['d.json']]],
  [
    `curl -u "report:$SECRET" http://x/#y -d a=b`,
    [['curl', '-u', 'report:$SECRET', 'http://x/#y', '-d', 'a=b']],
  ],
])('splits %s', ([text, commands]) => {
  expect(commandsIn(text)).toEqual(commands)
})
